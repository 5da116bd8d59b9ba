WITH under_way AS (
    -- No other holds a batch after $5.
    SELECT unnest(batch_ids) AS batch_id FROM log_shipments
    WHERE log = $1 AND batch_ids[cardinality(batch_ids)] > $5
), oldest AS (
    SELECT batch_id, row_count
    FROM log_batches
    WHERE log = $1 AND batch_id > $5 AND batch_id NOT IN (SELECT batch_id FROM under_way)
    ORDER BY batch_id LIMIT $6
), counted AS (
    SELECT batch_id, sum(row_count) OVER (ORDER BY batch_id) - row_count AS rows_before FROM oldest
)
INSERT INTO log_shipments (shipment_id, log, shipped_by, lease_until, batch_ids)
SELECT $2, $1, $3, now() + make_interval(secs => $4), array_agg(batch_id ORDER BY batch_id)
FROM counted WHERE rows_before < $7
HAVING count(*) > 0
RETURNING shipment_id, batch_ids
