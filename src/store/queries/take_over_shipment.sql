UPDATE log_shipments SET lease_until = now() + make_interval(secs => $2), shipped_by = $3
WHERE shipment_id = (
    SELECT shipment_id FROM log_shipments
    -- One that ends in what has been read before is found when it is read from the beginning.
    WHERE log = $1 AND batch_ids[cardinality(batch_ids)] > $4
      AND (refused_until IS NULL OR refused_until < now())
      AND (lease_until < now()
           -- One shipper a node, one shipment at a time: this one was given up.
           OR shipped_by = $3
           OR NOT EXISTS (SELECT 1 FROM nodes WHERE node_id = shipped_by AND nodes.lease_until >= now()))
    ORDER BY batch_ids[cardinality(batch_ids)] LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING shipment_id, batch_ids
