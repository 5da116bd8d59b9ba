WITH RECURSIVE earliest AS (
    (
        SELECT postback_id, next_attempt_at FROM deliveries
        WHERE claimed_by IS NULL
        ORDER BY postback_id, next_attempt_at LIMIT 1
    )
    UNION ALL
    SELECT following.* FROM earliest CROSS JOIN LATERAL (
        SELECT postback_id, next_attempt_at FROM deliveries
        WHERE claimed_by IS NULL AND deliveries.postback_id > earliest.postback_id
        ORDER BY postback_id, next_attempt_at LIMIT 1
    ) AS following
)
SELECT postback_id FROM earliest WHERE next_attempt_at <= now()
