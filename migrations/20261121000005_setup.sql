-- Setting the network up: who changed what, notes on keys, and the reconciliation of advertisers'
-- files.

-- One row a change, written in the transaction of the change. Nobody edits the past.
CREATE TABLE audit_log (
    audit_id       uuid PRIMARY KEY,
    happened_at    timestamptz NOT NULL,
    -- NULL: the change was made by the command line or with an API key.
    actor_token_id uuid,
    actor_role     text NOT NULL CHECK (actor_role IN ('owner', 'advertiser', 'partner', 'bi', 'api_key', 'command_line')),
    actor_label    text NOT NULL,
    entity         text NOT NULL,
    entity_id      text NOT NULL,
    action         text NOT NULL,
    before         jsonb,
    after          jsonb
);
CREATE INDEX audit_log_by_time ON audit_log (happened_at, audit_id);
CREATE INDEX audit_log_by_entity ON audit_log (entity_id, happened_at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE api_keys ADD COLUMN label text NOT NULL DEFAULT '';

-- Files are matched by the advertiser's own id of a conversion.
CREATE INDEX conversions_by_request ON conversions (advertiser_id, request_id);

-- An advertiser's file, as it was judged when it came in. It is applied as it was shown.
CREATE TABLE reconciliations (
    reconciliation_id uuid PRIMARY KEY,
    advertiser_id     uuid NOT NULL REFERENCES advertisers,
    state             text NOT NULL CHECK (state IN ('reading', 'shown', 'applied')),
    period_from       timestamptz,
    period_to         timestamptz,
    created_at        timestamptz NOT NULL,
    applied_at        timestamptz
);
CREATE INDEX reconciliations_by_age ON reconciliations (created_at);

CREATE TABLE reconciliation_rows (
    reconciliation_id uuid NOT NULL REFERENCES reconciliations ON DELETE CASCADE,
    -- The place in the list, from 1; the line of the file stands beside it.
    position          bigint NOT NULL,
    -- NULL: the file lacks this conversion of ours.
    line              bigint,
    request_id        text NOT NULL,
    lead_id           uuid,
    result            text NOT NULL
        CHECK (result IN ('unchanged', 'change', 'new', 'conflict', 'quarantine', 'error', 'absent')),
    -- From what to what, or what is wrong.
    details           jsonb NOT NULL,
    parameters        jsonb NOT NULL,
    -- What became of it; NULL while it waits.
    applied           text,
    applied_details   jsonb,
    PRIMARY KEY (reconciliation_id, position)
);
CREATE INDEX reconciliation_rows_by_lead ON reconciliation_rows (reconciliation_id, lead_id) WHERE lead_id IS NOT NULL;
CREATE INDEX reconciliation_rows_to_apply ON reconciliation_rows (reconciliation_id, position)
    WHERE applied IS NULL AND result IN ('change', 'new', 'quarantine');
