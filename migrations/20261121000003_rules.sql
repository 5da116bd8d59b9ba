-- The rules conversions are judged by: what foreign senders mean, how long a click counts, who is
-- paid when; and what waits for somebody to decide.

-- A foreign system's way of reporting, translated. Its id stands in the URL, so it is random.
CREATE TABLE integrations (
    integration_id       uuid PRIMARY KEY,
    advertiser_id        uuid NOT NULL REFERENCES advertisers,
    -- Set: only clicks of this offer.
    offer_id             uuid REFERENCES offers,
    name                 text NOT NULL CHECK (name <> ''),
    -- Our names to templates over foreign ones: {"click_id": ["{sub1}"], "status": ["approved"]}.
    field_map            jsonb NOT NULL CHECK (jsonb_typeof(field_map) = 'object'),
    success_code         integer NOT NULL DEFAULT 200 CHECK (success_code BETWEEN 200 AND 299),
    -- NULL: the JSON every door answers.
    success_body         text,
    success_content_type text NOT NULL DEFAULT 'text/plain; charset=utf-8',
    -- NULL: the code every door answers.
    refusal_code         integer CHECK (refusal_code BETWEEN 200 AND 499),
    refusal_body         text,
    refusal_content_type text NOT NULL DEFAULT 'text/plain; charset=utf-8',
    -- SHA-256 of what the sender puts into the parameter `secret`; NULL: the id is secret enough.
    secret_hash          bytea CHECK (length(secret_hash) = 32),
    -- CIDR; empty: from anywhere.
    allowed_networks     text[] NOT NULL DEFAULT '{}',
    is_active            boolean NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX integrations_by_advertiser ON integrations (advertiser_id);

-- What a word means at one integration, offer or advertiser; before the words everybody shares.
CREATE TABLE status_words (
    status_word_id uuid PRIMARY KEY,
    integration_id uuid REFERENCES integrations,
    offer_id       uuid REFERENCES offers,
    advertiser_id  uuid REFERENCES advertisers,
    -- In lower case, without surrounding blanks.
    word           text NOT NULL CHECK (word <> '' AND word = btrim(word)),
    meaning        text NOT NULL
        CHECK (meaning IN ('hold', 'approved', 'rejected', 'activate', 'deactivate', 'ignore')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT one_place CHECK (num_nonnulls(integration_id, offer_id, advertiser_id) = 1)
);
CREATE UNIQUE INDEX status_words_by_place
    ON status_words (coalesce(integration_id, offer_id, advertiser_id), word);

CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OR DELETE ON integrations
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OR DELETE ON status_words
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();

-- How long after a click a new conversion still counts. NULL: for ever.
ALTER TABLE advertisers ADD COLUMN attribution_window_hours integer CHECK (attribution_window_hours > 0);
CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OR DELETE ON advertisers
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();

-- What a quarantined request needs to be processed later as it would have been at once.
ALTER TABLE quarantine
    ADD COLUMN offer_id         uuid,
    ADD COLUMN integration_id   uuid,
    ADD COLUMN click_id         uuid,
    -- The request's own time: its datetime, or when it came.
    ADD COLUMN occurred_at      timestamptz,
    ADD COLUMN parameters       jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN source_ip        text NOT NULL DEFAULT '',
    -- Decided by hand for this request alone.
    ADD COLUMN decided_meaning  text
        CHECK (decided_meaning IN ('hold', 'approved', 'rejected', 'activate', 'deactivate', 'ignore'));
UPDATE quarantine SET occurred_at = received_at;
ALTER TABLE quarantine ALTER COLUMN occurred_at SET NOT NULL;
CREATE INDEX quarantine_by_offer ON quarantine (offer_id, word);
CREATE INDEX quarantine_by_integration ON quarantine (integration_id, word) WHERE integration_id IS NOT NULL;
CREATE INDEX quarantine_decided ON quarantine (occurred_at) WHERE decided_meaning IS NOT NULL;
CREATE INDEX quarantine_by_time ON quarantine (received_at, inbound_id);

-- Requests of the inbound log somebody asked to have processed again.
CREATE TABLE reprocessing (
    inbound_id     uuid PRIMARY KEY,
    advertiser_id  uuid NOT NULL,
    integration_id uuid,
    offer_id       uuid,
    door           text NOT NULL,
    method         text NOT NULL,
    source_ip      text NOT NULL,
    parameters     jsonb NOT NULL,
    received_at    timestamptz NOT NULL,
    asked_at       timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE conversions
    -- When it happened by the advertiser's word, else when it was recorded.
    ADD COLUMN occurred_at timestamptz,
    ADD COLUMN settled_at  timestamptz;
UPDATE conversions SET occurred_at = created_at;
ALTER TABLE conversions ALTER COLUMN occurred_at SET NOT NULL;
CREATE INDEX conversions_to_settle ON conversions (created_at, lead_id)
    WHERE status = 'approved' AND settled_at IS NULL;

-- Test conversions are a world of their own: one never takes the place of a real one.
DROP INDEX conversions_once_per_click;
CREATE UNIQUE INDEX conversions_once_per_click ON conversions (click_id, action_id, is_test)
    WHERE is_once_per_click;
ALTER TABLE customers ADD COLUMN is_test boolean NOT NULL DEFAULT false;
ALTER TABLE customers DROP CONSTRAINT customers_pkey;
ALTER TABLE customers ADD PRIMARY KEY (advertiser_id, customer_id, is_test);

-- Why a change was made, by whom, and what they said to it.
ALTER TABLE conversion_history
    ADD COLUMN cause text NOT NULL DEFAULT 'request'
        CHECK (cause IN ('request', 'quarantine', 'owner', 'reprocess', 'csv')),
    ADD COLUMN actor text NOT NULL DEFAULT '',
    ADD COLUMN note  text NOT NULL DEFAULT '',
    DROP CONSTRAINT possible_transition,
    ADD CONSTRAINT possible_transition CHECK (
        status_from IS NULL
        OR (status_from, status_to) IN (('hold', 'approved'), ('hold', 'rejected'), ('approved', 'rejected'))
        -- A settlement leaves the status as it is.
        OR (status_from = status_to AND events = '{payout}')
        OR cause = 'owner'
    ),
    DROP CONSTRAINT about_someone,
    -- A click that somebody wants to hear of is nobody's conversion yet.
    ADD CONSTRAINT about_someone CHECK (num_nonnulls(lead_id, customer_id) >= 1 OR events = '{click}');
