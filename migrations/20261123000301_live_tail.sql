-- The live tail of attempts. While somebody follows it, batches that ClickHouse has are kept here
-- for a few minutes more, so that every node sees every batch, whichever node shipped it.

-- Nodes that follow the log; a batch that is shipped while any of these leases lives is kept.
CREATE TABLE log_tails (
    node_id     uuid PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

CREATE TABLE recent_log_batches (
    batch_id   bigint PRIMARY KEY,
    created_at timestamptz NOT NULL,
    payload    bytea NOT NULL,
    shipped_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
-- Already compressed.
ALTER TABLE recent_log_batches ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX recent_log_batches_by_age ON recent_log_batches (shipped_at);
