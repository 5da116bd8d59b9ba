-- Who may report conversions: signatures, addresses, rates.

ALTER TABLE advertisers
    ADD COLUMN signature_policy text NOT NULL DEFAULT 'off'
        CHECK (signature_policy IN ('off', 'optional', 'required')),
    -- Empty: from anywhere.
    ADD COLUMN allowed_networks text[] NOT NULL DEFAULT '{}',
    -- NULL: what the node's settings say.
    ADD COLUMN requests_per_second integer CHECK (requests_per_second > 0);

-- Shared secrets of signatures, encrypted under the master key that `master_key_id` names.
CREATE TABLE advertiser_secrets (
    secret_id     uuid PRIMARY KEY,
    advertiser_id uuid NOT NULL REFERENCES advertisers,
    master_key_id text NOT NULL,
    ciphertext    bytea NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    retired_at    timestamptz
);
CREATE INDEX advertiser_secrets_live ON advertiser_secrets (advertiser_id) WHERE retired_at IS NULL;
CREATE INDEX api_keys_live ON api_keys (advertiser_id) WHERE revoked_at IS NULL;

-- At most two live while one replaces the other. Whoever adds one holds its advertiser until
-- commit, so two at the same time do not both count one.
CREATE FUNCTION at_most_two_live_secrets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM advertisers WHERE advertiser_id = NEW.advertiser_id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM advertiser_secrets
        WHERE advertiser_id = NEW.advertiser_id AND retired_at IS NULL) >= 2 THEN
        RAISE EXCEPTION 'an advertiser has at most two live secrets'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'two_live_secrets';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER at_most_two_live BEFORE INSERT ON advertiser_secrets
    FOR EACH ROW EXECUTE FUNCTION at_most_two_live_secrets();

CREATE FUNCTION at_most_two_live_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM advertisers WHERE advertiser_id = NEW.advertiser_id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM api_keys
        WHERE advertiser_id = NEW.advertiser_id AND revoked_at IS NULL) >= 2 THEN
        RAISE EXCEPTION 'an advertiser has at most two live API keys'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'two_live_keys';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER at_most_two_live BEFORE INSERT ON api_keys
    FOR EACH ROW EXECUTE FUNCTION at_most_two_live_keys();

CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON advertisers
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON advertiser_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();

-- Signed requests that were recorded, until their signature is stale anyway. Written in the
-- transaction that records the request. `exchange_id` is that of the HTTP request, whose items
-- all bear the same signature.
CREATE TABLE used_signatures (
    digest      bytea PRIMARY KEY CHECK (length(digest) = 32),
    exchange_id uuid NOT NULL,
    expires_at  timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
CREATE INDEX used_signatures_expired ON used_signatures (expires_at);
