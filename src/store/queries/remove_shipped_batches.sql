WITH shipped AS (
    DELETE FROM log_batches WHERE batch_id = ANY($1)
    RETURNING batch_id, log, created_at, payload
)
INSERT INTO recent_log_batches (batch_id, created_at, payload)
SELECT batch_id, created_at, payload FROM shipped
WHERE log = 'attempts' AND EXISTS (SELECT 1 FROM log_tails WHERE lease_until > now())
