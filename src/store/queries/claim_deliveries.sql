WITH due AS (
    SELECT delivery_id
    FROM deliveries
    WHERE postback_id = $1 AND claimed_by IS NULL AND next_attempt_at <= now()
    ORDER BY next_attempt_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE deliveries
    SET claimed_by = $3, lease_until = now() + make_interval(secs => $4), attempt = attempt + 1, fence = fence + 1
    FROM due
    WHERE deliveries.delivery_id = due.delivery_id
    RETURNING deliveries.delivery_id, postback_id, change_id, event, attempt, fence, next_attempt_at, pinned_revision
)
SELECT claimed.*, facts
FROM claimed JOIN conversion_history USING (change_id)
