WITH abandoned AS (
    SELECT delivery_id, lease_until
    FROM deliveries
    WHERE claimed_by IS NOT NULL AND (claimed_by = ANY($1) OR lease_until < now())
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), rescued AS (
    UPDATE deliveries
    SET claimed_by = NULL, lease_until = NULL, fence = fence + 1, next_attempt_at = least(next_attempt_at, now())
    FROM abandoned
    WHERE deliveries.delivery_id = abandoned.delivery_id
    RETURNING deliveries.delivery_id, postback_id, change_id, event, attempt, fence, next_attempt_at, pinned_revision,
              abandoned.lease_until
)
SELECT rescued.*, facts
FROM rescued JOIN conversion_history USING (change_id)
