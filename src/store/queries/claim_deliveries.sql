-- Reads on from where the last claim ended ($5, $6) instead of over what it took: those entries
-- stay in the index for as long as any transaction in PostgreSQL is older than them.
WITH due AS (
    SELECT delivery_id
    FROM deliveries
    WHERE postback_id = $1 AND claimed_by IS NULL AND next_attempt_at <= now()
      AND (next_attempt_at, delivery_id) > (coalesce($5::timestamptz, '-infinity'), $6::uuid)
    ORDER BY next_attempt_at, delivery_id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), claimed AS (
    -- Through an array, of which ten elements are expected. This is planned before $2 is known,
    -- and then a tenth of the queue is expected of a LIMIT: a join would read the whole table.
    UPDATE deliveries
    SET claimed_by = $3, lease_until = now() + make_interval(secs => $4), attempt = attempt + 1, fence = $7
    WHERE delivery_id = ANY(ARRAY(SELECT delivery_id FROM due))
    RETURNING delivery_id, postback_id, change_id, event, attempt, fence, next_attempt_at, pinned_revision,
              is_unjudged
)
SELECT claimed.*, facts
-- Also where the history has lost the change: what is claimed must be told.
FROM claimed LEFT JOIN conversion_history USING (change_id)
