INSERT INTO deliveries (delivery_id, postback_id, change_id, event, lead_id, attempt, next_attempt_at, fence,
                        created_at, job_id, is_unjudged)
SELECT delivery_id, postback_id, change_id, event, lead_id, 0, $6::timestamptz, 0, $6::timestamptz, $7::uuid,
       is_unjudged
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $8::boolean[])
     AS wish(delivery_id, postback_id, change_id, event, lead_id, is_unjudged)
-- In the queue or finished: one statement sees it in exactly one of the two.
WHERE NOT EXISTS (SELECT FROM deliveries
                  WHERE deliveries.delivery_id = ANY($1) AND deliveries.delivery_id = wish.delivery_id)
  AND NOT EXISTS (SELECT FROM deliveries_finished WHERE deliveries_finished.delivery_id = wish.delivery_id)
  -- Locked, so that its partition is not dropped before this is committed.
  AND EXISTS (SELECT FROM conversion_history WHERE conversion_history.change_id = wish.change_id)
ON CONFLICT (delivery_id) DO NOTHING
RETURNING delivery_id
