-- How a destination is treated: its limits, its retries, why it was paused, and how it is doing.

ALTER TABLE postbacks
    -- NULL: as many as come.
    ADD COLUMN rate_per_second    double precision CHECK (rate_per_second BETWEEN 0.001 AND 100000),
    -- NULL: a tenth of a second's worth.
    ADD COLUMN burst              integer CHECK (burst BETWEEN 1 AND 100000),
    -- NULL: one more than the schedule has waits.
    ADD COLUMN max_attempts       integer CHECK (max_attempts BETWEEN 1 AND 1000),
    -- NULL: a day.
    ADD COLUMN retry_after_cap_ms bigint CHECK (retry_after_cap_ms BETWEEN 0 AND 604800000),
    -- Set where it was not a person who paused it.
    ADD COLUMN paused_reason      text,
    ADD CONSTRAINT a_reason_to_be_paused CHECK (paused_reason IS NULL OR is_paused),
    ADD CONSTRAINT a_burst_is_of_a_rate CHECK (burst IS NULL OR rate_per_second IS NOT NULL);

-- How each node finds a destination. Written every few seconds where something has changed, and
-- gone with its node; nothing is decided by it.
CREATE TABLE destination_states (
    postback_id          uuid NOT NULL,
    node_id              uuid NOT NULL,
    breaker              text NOT NULL CHECK (breaker IN ('closed', 'open', 'half_open')),
    probe_at             timestamptz,
    held_until           timestamptz,
    in_flight            integer NOT NULL,
    concurrency          integer NOT NULL,
    -- This node's shares of the limits.
    max_in_flight        integer NOT NULL,
    rate_per_second      double precision,
    consecutive_failures integer NOT NULL,
    last_success_at      timestamptz,
    last_failure_at      timestamptz,
    updated_at           timestamptz NOT NULL,
    PRIMARY KEY (postback_id, node_id)
) WITH (fillfactor = 50);
CREATE INDEX destination_states_of_node ON destination_states (node_id);

-- What Ricochet does by itself is in the audit log too.
ALTER TABLE audit_log DROP CONSTRAINT audit_log_actor_role_check;
ALTER TABLE audit_log ADD CONSTRAINT audit_log_actor_role_check
    CHECK (actor_role IN ('owner', 'advertiser', 'partner', 'bi', 'api_key', 'command_line', 'system'));
