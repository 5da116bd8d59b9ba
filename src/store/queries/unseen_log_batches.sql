SELECT batch_id, created_at, payload FROM log_batches
WHERE log = 'attempts' AND batch_id > $1 AND batch_id <> ALL ($2::bigint[])
UNION ALL
SELECT batch_id, created_at, payload FROM recent_log_batches
WHERE batch_id > $1 AND batch_id <> ALL ($2::bigint[])
ORDER BY batch_id LIMIT $3
