WITH finished AS (
    DELETE FROM deliveries
    USING unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $7::int[], $8::jsonb[])
          AS attempt(delivery_id, fence, state, reason, revision, names)
    -- By their keys, whatever statistics say: with nothing in the queue but what could not be cleared away
    -- yet, a join would read all of that.
    WHERE deliveries.delivery_id = ANY($1)
      AND deliveries.delivery_id = attempt.delivery_id AND deliveries.fence = attempt.fence AND claimed_by = $6
    RETURNING deliveries.*, attempt.state, attempt.reason, attempt.revision, attempt.names
), kept AS (
    INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason, attempts,
                                     created_at, finished_at, resent_from, resend_number, job_id, sent_revision,
                                     sent_names)
    SELECT delivery_id, postback_id, change_id, event, lead_id, state, reason, attempt, created_at, $5::timestamptz,
           resent_from, resend_number, job_id, revision, coalesce(names, sent_names)
    FROM finished
)
SELECT delivery_id, fence FROM finished
