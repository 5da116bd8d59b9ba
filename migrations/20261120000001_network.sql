-- The network: who is in it, what is paid for, who wants to know. Small, read whole into the
-- catalogue of every node.

CREATE TABLE advertisers (
    advertiser_id uuid PRIMARY KEY,
    name          text NOT NULL CHECK (name <> ''),
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- Keys are random and kept as SHA-256; two live at once while one replaces the other.
CREATE TABLE api_keys (
    api_key_id    uuid PRIMARY KEY,
    advertiser_id uuid NOT NULL REFERENCES advertisers,
    key_hash      bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz
);

CREATE TABLE partners (
    partner_id uuid PRIMARY KEY,
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE offers (
    offer_id           uuid PRIMARY KEY,
    advertiser_id      uuid NOT NULL REFERENCES advertisers,
    name               text NOT NULL CHECK (name <> ''),
    landing_url        text NOT NULL,
    click_id_parameter text NOT NULL DEFAULT 'click_id' CHECK (click_id_parameter <> ''),
    allows_refunds     boolean NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE actions (
    action_id          uuid PRIMARY KEY,
    offer_id           uuid NOT NULL REFERENCES offers,
    name               text NOT NULL CHECK (name <> ''),
    kind               text NOT NULL
        CHECK (kind IN ('lead', 'registration', 'deposit', 'trial', 'sale', 'rebill', 'custom')),
    payout_model       text NOT NULL CHECK (payout_model IN ('fixed', 'percent', 'recurring')),
    advertiser_rate    numeric NOT NULL CHECK (advertiser_rate >= 0),
    commission_percent numeric NOT NULL CHECK (commission_percent BETWEEN 0 AND 100),
    payout_amount      numeric CHECK (payout_amount >= 0),
    payout_percent     numeric CHECK (payout_percent BETWEEN 0 AND 100),
    currency           text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    is_repeatable      boolean NOT NULL,
    hold_days          integer NOT NULL DEFAULT 0 CHECK (hold_days >= 0),
    CONSTRAINT paid_by_amount_or_share CHECK (num_nonnulls(payout_amount, payout_percent) = 1),
    CONSTRAINT model_fits_payout CHECK (
        payout_model = 'recurring' OR (payout_model = 'fixed') = (payout_amount IS NOT NULL)
    )
);
CREATE UNIQUE INDEX actions_by_name ON actions (offer_id, lower(name));

CREATE TABLE links (
    link_id    uuid PRIMARY KEY,
    offer_id   uuid NOT NULL REFERENCES offers,
    partner_id uuid NOT NULL REFERENCES partners,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE postbacks (
    postback_id       uuid PRIMARY KEY,
    partner_id        uuid REFERENCES partners,
    advertiser_id     uuid REFERENCES advertisers,
    offer_id          uuid REFERENCES offers,
    link_id           uuid REFERENCES links,
    events            text[] NOT NULL CHECK (cardinality(events) > 0),
    url_template      text NOT NULL,
    max_in_flight     integer NOT NULL DEFAULT 16 CHECK (max_in_flight BETWEEN 1 AND 1000),
    timeout_ms        integer NOT NULL DEFAULT 10000 CHECK (timeout_ms BETWEEN 100 AND 60000),
    -- NULL: the default schedule.
    retry_schedule_ms bigint[],
    is_paused         boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT now(),
    deleted_at        timestamptz,
    -- Neither: the platform's own.
    CONSTRAINT one_owner CHECK (num_nonnulls(partner_id, advertiser_id) <= 1),
    CONSTRAINT one_scope CHECK (num_nonnulls(offer_id, link_id) <= 1)
);

CREATE TABLE tokens (
    token_id      uuid PRIMARY KEY,
    token_hash    bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    role          text NOT NULL CHECK (role IN ('owner', 'advertiser', 'partner', 'bi')),
    -- A `bi` token may be narrowed to one advertiser or partner.
    advertiser_id uuid REFERENCES advertisers,
    partner_id    uuid REFERENCES partners,
    label         text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz,
    CONSTRAINT role_fits_scope CHECK (
        CASE role
            WHEN 'owner' THEN num_nonnulls(advertiser_id, partner_id) = 0
            WHEN 'advertiser' THEN advertiser_id IS NOT NULL AND partner_id IS NULL
            WHEN 'partner' THEN partner_id IS NOT NULL AND advertiser_id IS NULL
            ELSE num_nonnulls(advertiser_id, partner_id) <= 1
        END
    )
);

-- Every node compares this number with that of the catalogue it holds.
CREATE TABLE catalogue_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO catalogue_version (version) VALUES (1);

CREATE FUNCTION bump_catalogue_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE catalogue_version SET version = version + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON offers
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON actions
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON links
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON postbacks
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
