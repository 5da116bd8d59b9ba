INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason, attempts,
                                 created_at, finished_at, resent_from, resend_number, job_id)
SELECT wish.new_id, source.postback_id, source.change_id, source.event, source.lead_id, 'skipped', wish.reason, 1,
       $5::timestamptz, $5::timestamptz, wish.first_id,
       1 + greatest(
           0,
           (SELECT max(resend_number) FROM deliveries WHERE resent_from = wish.first_id),
           (SELECT max(resend_number) FROM deliveries_finished WHERE resent_from = wish.first_id)
       ),
       $6::uuid
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) AS wish(new_id, source_id, first_id, reason)
JOIN deliveries_finished AS source ON source.delivery_id = wish.source_id
WHERE NOT EXISTS (SELECT FROM deliveries
                  WHERE deliveries.delivery_id = ANY($1) AND deliveries.delivery_id = wish.new_id)
  AND NOT EXISTS (SELECT FROM deliveries_finished WHERE deliveries_finished.delivery_id = wish.new_id)
RETURNING delivery_id
