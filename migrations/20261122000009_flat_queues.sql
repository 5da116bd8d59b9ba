-- Queues that stay quick however long some transaction keeps PostgreSQL from clearing away what
-- has left them.

-- Deliveries are claimed from where the last claim ended, so the order must be total.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (postback_id, next_attempt_at, delivery_id) WHERE claimed_by IS NULL;

-- A shipment names its batches instead of marking them: a batch is written once and deleted once.
ALTER TABLE log_shipments ADD COLUMN batch_ids bigint[] NOT NULL DEFAULT '{}';
UPDATE log_shipments SET batch_ids = ARRAY(
    SELECT batch_id FROM log_batches
    WHERE log_batches.shipment_id = log_shipments.shipment_id ORDER BY batch_id
);
ALTER TABLE log_shipments ALTER COLUMN batch_ids DROP DEFAULT;
DROP INDEX log_batches_in_shipment;
DROP INDEX log_batches_waiting;
ALTER TABLE log_batches DROP COLUMN shipment_id;
