-- Reads each queue on from where the last claim ended (from_due, from_id) instead of over what it took:
-- those entries stay in the index for as long as any transaction in PostgreSQL is older than them.
WITH due AS MATERIALIZED (
    SELECT found.delivery_id, asked.fence
    FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::bigint[])
         AS asked(postback_id, places, from_due, from_id, fence)
    CROSS JOIN LATERAL (
        SELECT delivery_id FROM deliveries
        WHERE postback_id = asked.postback_id AND claimed_by IS NULL AND next_attempt_at <= now()
          AND (next_attempt_at, delivery_id) > (coalesce(asked.from_due, '-infinity'), asked.from_id)
        ORDER BY next_attempt_at, delivery_id
        LIMIT asked.places
        FOR UPDATE SKIP LOCKED
    ) AS found
), claimed AS (
    UPDATE deliveries
    SET claimed_by = $6, lease_until = now() + make_interval(secs => $7), attempt = attempt + 1, fence = due.fence
    FROM due
    -- Through an array, of which ten elements are expected. This is planned before the places are known,
    -- and then a tenth of a queue is expected of a LIMIT: a join alone would read the whole table.
    WHERE deliveries.delivery_id = ANY(ARRAY(SELECT delivery_id FROM due))
      AND deliveries.delivery_id = due.delivery_id
    RETURNING deliveries.delivery_id, postback_id, change_id, event, attempt, deliveries.fence, next_attempt_at,
              pinned_revision, is_unjudged
)
SELECT claimed.*, facts
-- Also where the history has lost the change: what is claimed must be told.
FROM claimed LEFT JOIN conversion_history USING (change_id)
