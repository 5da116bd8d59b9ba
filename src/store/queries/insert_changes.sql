INSERT INTO conversion_history (change_id, lead_id, customer_id, status_from, status_to, events, facts, recorded_at,
                                cause, actor, note)
SELECT change_id, lead_id, customer_id, status_from, status_to, string_to_array(events, ','), facts::jsonb,
       $8::timestamptz, cause, actor, note
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $9::text[], $10::text[], $11::text[])
     AS change(change_id, lead_id, customer_id, status_from, status_to, events, facts, cause, actor, note)
