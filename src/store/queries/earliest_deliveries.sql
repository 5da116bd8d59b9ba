-- When the first that waits of each queue is due. Reads each from its beginning, over all that
-- PostgreSQL could not clear away there.
SELECT queue.postback_id, first.next_attempt_at
FROM unnest($1::uuid[]) AS queue(postback_id)
CROSS JOIN LATERAL (
    SELECT next_attempt_at FROM deliveries
    WHERE deliveries.postback_id = queue.postback_id AND claimed_by IS NULL
    ORDER BY next_attempt_at LIMIT 1
) AS first
