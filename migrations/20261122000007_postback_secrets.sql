-- How postbacks are signed, and the secrets they are signed with.

ALTER TABLE postbacks
    ADD COLUMN signing text NOT NULL DEFAULT 'none' CHECK (signing IN ('none', 'standard_webhooks', 'url')),
    -- Where a signature in the URL stands: the names of its parameters.
    ADD COLUMN signing_time_parameter text NOT NULL DEFAULT 'ts'
        CHECK (signing_time_parameter ~ '^[A-Za-z0-9_.~-]{1,64}$'),
    ADD COLUMN signing_nonce_parameter text NOT NULL DEFAULT 'nonce'
        CHECK (signing_nonce_parameter ~ '^[A-Za-z0-9_.~-]{1,64}$'),
    ADD COLUMN signing_signature_parameter text NOT NULL DEFAULT 'sig'
        CHECK (signing_signature_parameter ~ '^[A-Za-z0-9_.~-]{1,64}$'),
    ADD CONSTRAINT three_signing_parameters CHECK (
        signing_time_parameter <> signing_nonce_parameter
        AND signing_nonce_parameter <> signing_signature_parameter
        AND signing_signature_parameter <> signing_time_parameter
    );

-- Encrypted for the postback it belongs to, under the master key that `master_key_id` names.
CREATE TABLE postback_secrets (
    secret_id     uuid PRIMARY KEY,
    postback_id   uuid NOT NULL REFERENCES postbacks,
    master_key_id text NOT NULL,
    ciphertext    bytea NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- NULL: until it is retired.
    signs_until   timestamptz
);
CREATE INDEX postback_secrets_of_postback ON postback_secrets (postback_id);

-- At most two sign while one replaces the other. Whoever adds one holds its postback until
-- commit, so two at the same time do not both count one.
CREATE FUNCTION at_most_two_signing_secrets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM postbacks WHERE postback_id = NEW.postback_id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM postback_secrets
        WHERE postback_id = NEW.postback_id AND (signs_until IS NULL OR signs_until > now())) >= 2 THEN
        RAISE EXCEPTION 'a postback has at most two secrets that sign'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'two_signing_secrets';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER at_most_two_signing BEFORE INSERT ON postback_secrets
    FOR EACH ROW EXECUTE FUNCTION at_most_two_signing_secrets();

CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON postback_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
