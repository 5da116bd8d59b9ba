-- Locked: a renewal of such a node's lease comes before this, and then nothing of it is taken, or
-- after all of this is committed.
WITH dead AS MATERIALIZED (
    SELECT node_id FROM nodes WHERE node_id = ANY($2) AND lease_until < now()
    ORDER BY node_id FOR UPDATE
), abandoned AS MATERIALIZED (
    SELECT delivery_id, claimed_by, lease_until FROM deliveries
    WHERE delivery_id = ANY($1) AND claimed_by IS NOT NULL
      AND (claimed_by IN (SELECT node_id FROM dead) OR ($3 AND lease_until < now()))
    -- Who has locked it is recording or rescuing it.
    FOR UPDATE SKIP LOCKED
), told AS (
    UPDATE nodes SET rescued_at = clock_timestamp()
    WHERE node_id IN (SELECT node_id FROM dead) AND node_id IN (SELECT claimed_by FROM abandoned)
), rescued AS (
    UPDATE deliveries
    SET claimed_by = NULL, lease_until = NULL, fence = fence + 1, next_attempt_at = least(next_attempt_at, now())
    FROM abandoned
    WHERE deliveries.delivery_id = ANY($1) AND deliveries.delivery_id = abandoned.delivery_id
    RETURNING deliveries.delivery_id, postback_id, change_id, event, attempt, fence, next_attempt_at, pinned_revision,
              is_unjudged, lead_id, sent_names, abandoned.lease_until
)
SELECT rescued.*, facts
-- Also where the history has lost the change: what is taken over must be told.
FROM rescued LEFT JOIN conversion_history USING (change_id)
