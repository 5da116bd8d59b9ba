-- Shipments come and go all the time. Those that are under way are found by where they end, past
-- all that PostgreSQL could not clear away yet: see flat_queues.
CREATE INDEX log_shipments_by_end ON log_shipments (log, (batch_ids[cardinality(batch_ids)]));
