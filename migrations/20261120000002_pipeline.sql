-- What passes through: clicks, conversions and their history, deliveries, log batches.
-- Tables that grow for ever are partitioned by the time in their UUIDv7 keys; the partition
-- keeper of every node creates months ahead and drops what retention lets go.

CREATE TABLE clicks (
    click_id        uuid NOT NULL,
    link_id         uuid NOT NULL,
    offer_id        uuid NOT NULL,
    partner_id      uuid NOT NULL,
    advertiser_id   uuid NOT NULL,
    partner_clickid text NOT NULL,
    sub1            text NOT NULL,
    sub2            text NOT NULL,
    sub3            text NOT NULL,
    sub4            text NOT NULL,
    sub5            text NOT NULL,
    ip              text NOT NULL,
    user_agent      text NOT NULL,
    referrer        text NOT NULL,
    country         text NOT NULL,
    device          text NOT NULL,
    parameters      jsonb NOT NULL,
    clicked_at      timestamptz NOT NULL,
    PRIMARY KEY (click_id)
) PARTITION BY RANGE (click_id);
CREATE INDEX clicks_by_partner_clickid ON clicks (advertiser_id, partner_clickid);

-- Not partitioned: this is the truth that duplicates are told by.
CREATE TABLE conversions (
    lead_id         uuid PRIMARY KEY,
    advertiser_id   uuid NOT NULL,
    offer_id        uuid NOT NULL,
    partner_id      uuid NOT NULL,
    link_id         uuid NOT NULL,
    action_id       uuid NOT NULL,
    action          text NOT NULL,
    action_kind     text NOT NULL,
    click_id        uuid NOT NULL,
    request_id      text NOT NULL,
    customer_id     text,
    status          text NOT NULL CHECK (status IN ('hold', 'approved', 'rejected')),
    -- The full sum as reported; what it is compared by. NULL: none was.
    amount          numeric CHECK (amount >= 0),
    currency        text,
    payout          numeric CHECK (payout >= 0),
    payout_currency text,
    comment         text NOT NULL,
    fields          jsonb NOT NULL,
    is_test         boolean NOT NULL,
    is_once_per_click boolean NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
-- The ledger decides; these two make a mistake of two nodes impossible all the same.
CREATE UNIQUE INDEX conversions_once_per_click ON conversions (click_id, action_id) WHERE is_once_per_click;
CREATE INDEX conversions_by_click ON conversions (click_id) WHERE NOT is_once_per_click OR action_kind = 'deposit';
CREATE INDEX conversions_by_customer ON conversions (advertiser_id, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX conversions_by_time ON conversions (created_at, lead_id);

CREATE TABLE customers (
    advertiser_id uuid NOT NULL,
    customer_id   text NOT NULL,
    click_id      uuid NOT NULL,
    is_active     boolean NOT NULL,
    updated_at    timestamptz NOT NULL,
    PRIMARY KEY (advertiser_id, customer_id)
);

-- Every change of a conversion or customer: what it was, what it became, and the facts its
-- postbacks are filled with at every attempt.
CREATE TABLE conversion_history (
    change_id   uuid NOT NULL,
    lead_id     uuid,
    customer_id text,
    status_from text CHECK (status_from IN ('hold', 'approved', 'rejected')),
    status_to   text CHECK (status_to IN ('hold', 'approved', 'rejected')),
    events      text[] NOT NULL,
    facts       jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (change_id),
    CONSTRAINT possible_transition CHECK (
        status_from IS NULL
        OR (status_from, status_to) IN (('hold', 'approved'), ('hold', 'rejected'), ('approved', 'rejected'))
    ),
    CONSTRAINT about_someone CHECK (num_nonnulls(lead_id, customer_id) >= 1)
) PARTITION BY RANGE (change_id);
CREATE INDEX conversion_history_by_lead ON conversion_history (lead_id);

-- Requests with a status word nobody has mapped yet, whole.
CREATE TABLE quarantine (
    inbound_id    uuid PRIMARY KEY,
    advertiser_id uuid NOT NULL,
    word          text NOT NULL,
    request       jsonb NOT NULL,
    received_at   timestamptz NOT NULL
);
CREATE INDEX quarantine_by_word ON quarantine (advertiser_id, word);

-- The hot queue: only what is still to be done. A claimed row is being sent by `claimed_by`
-- until `lease_until`; whoever records its outcome must show the same `fence`.
CREATE TABLE deliveries (
    delivery_id     uuid PRIMARY KEY,
    postback_id     uuid NOT NULL,
    change_id       uuid NOT NULL,
    event           text NOT NULL,
    lead_id         uuid,
    -- Attempts begun so far, the claimed one included.
    attempt         integer NOT NULL CHECK (attempt >= 0),
    next_attempt_at timestamptz NOT NULL,
    claimed_by      uuid,
    lease_until     timestamptz,
    fence           bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    CONSTRAINT a_claim_has_a_lease CHECK ((claimed_by IS NULL) = (lease_until IS NULL)),
    CONSTRAINT a_claim_is_an_attempt CHECK (claimed_by IS NULL OR attempt > 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
CREATE INDEX deliveries_due ON deliveries (postback_id, next_attempt_at) WHERE claimed_by IS NULL;
-- No index on claims: every delivery would pass through it, and they are looked for only when a
-- node has died.

CREATE TABLE deliveries_finished (
    delivery_id uuid NOT NULL,
    postback_id uuid NOT NULL,
    change_id   uuid NOT NULL,
    event       text NOT NULL,
    lead_id     uuid,
    state       text NOT NULL CHECK (state IN ('delivered', 'failed', 'skipped')),
    reason      text NOT NULL,
    attempts    integer NOT NULL CHECK (attempts > 0),
    created_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    PRIMARY KEY (delivery_id)
) PARTITION BY RANGE (delivery_id);

-- Rows on their way to ClickHouse: LZ4 frames of JSONEachRow. A shipment is a set of batches
-- that is always sent together under one deduplication token: its own id.
CREATE TABLE log_batches (
    batch_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log         text NOT NULL CHECK (log IN ('attempts', 'inbound_requests', 'clicks', 'conversion_events')),
    row_count   integer NOT NULL CHECK (row_count > 0),
    payload     bytea NOT NULL,
    shipment_id uuid,
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
-- Already compressed.
ALTER TABLE log_batches ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX log_batches_in_shipment ON log_batches (shipment_id) WHERE shipment_id IS NOT NULL;
CREATE INDEX log_batches_waiting ON log_batches (log, batch_id) WHERE shipment_id IS NULL;

CREATE TABLE log_shipments (
    shipment_id uuid PRIMARY KEY,
    log         text NOT NULL,
    shipped_by  uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    -- Set where ClickHouse refused it: until then, others go past it.
    refused_until timestamptz
);

-- Server processes. One that has not renewed its lease is taken for dead; its row goes once what
-- it had claimed has been rescued.
CREATE TABLE nodes (
    node_id     uuid PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL
);
