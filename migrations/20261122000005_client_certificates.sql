-- The certificate a postback shows its destination. The private key is encrypted under the master
-- key that is named, for this postback alone.

CREATE TABLE postback_certificates (
    postback_id     uuid PRIMARY KEY REFERENCES postbacks,
    certificate_pem text NOT NULL,
    master_key_id   text NOT NULL,
    ciphertext      bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TRIGGER postback_certificates_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON postback_certificates
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
