CREATE TABLE IF NOT EXISTS attempts_local ON CLUSTER '{cluster}'
(
    attempt_id      UUID COMMENT 'One try of one delivery',
    delivery_id     UUID COMMENT 'The same in every attempt of a delivery',
    postback_id     UUID COMMENT 'The destination',
    owner           LowCardinality(String) COMMENT 'Who configured the postback: partner, advertiser or platform',
    partner_id      UUID COMMENT 'Partner whose click converted',
    advertiser_id   UUID COMMENT 'Advertiser of the offer',
    offer_id        UUID,
    link_id         UUID,
    lead_id         Nullable(UUID) COMMENT 'NULL for events of a recurring customer',
    click_id        UUID COMMENT 'Our click id',
    txid            String COMMENT 'Transaction id: the request id, or the lead id where there is none',
    action          LowCardinality(String) COMMENT 'Name of the action',
    event           LowCardinality(String) COMMENT 'What happened: sale, ftd, approve, ...',
    status          LowCardinality(String) COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    amount          Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    currency        LowCardinality(String) COMMENT 'ISO 4217',
    payout          Nullable(Decimal(38, 6)) COMMENT 'Partner payout, in payout_currency',
    payout_currency LowCardinality(String) COMMENT 'ISO 4217',
    country         LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device          LowCardinality(String) COMMENT 'desktop, mobile, tablet, bot or other',
    method          LowCardinality(String) COMMENT 'HTTP method sent',
    url             String COMMENT 'URL sent, secrets redacted',
    outcome         LowCardinality(String) COMMENT 'delivered, retrying, failed or skipped',
    reason          String COMMENT 'Why it was not delivered, in words; empty for a delivery',
    error_kind      LowCardinality(String) COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, interrupted or internal',
    attempt         UInt16 COMMENT 'Number of this attempt, from 1',
    response_code   UInt16 COMMENT 'HTTP status answered; 0 where no answer came',
    response_body   String COMMENT 'First 4 KiB of the answer',
    started_at      DateTime64(6, 'UTC') COMMENT 'When the attempt began',
    queued_us       UInt64 COMMENT 'From due to begun, microseconds',
    first_byte_us   UInt64 COMMENT 'From begun to the head of the answer, microseconds; 0 where none came',
    total_us        UInt64 COMMENT 'From begun to the end of the answer, microseconds',
    is_test         Bool COMMENT 'Of a test conversion',
    node_id         UUID COMMENT 'Server process that recorded the attempt'
)
ENGINE = ReplicatedMergeTree
PARTITION BY toYYYYMM(started_at)
ORDER BY (started_at, attempt_id)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS attempts ON CLUSTER '{cluster}' AS attempts_local
ENGINE = Distributed('{cluster}', currentDatabase(), attempts_local, cityHash64(click_id));

CREATE TABLE IF NOT EXISTS inbound_requests_local ON CLUSTER '{cluster}'
(
    inbound_id    UUID COMMENT 'One request received, or one item of a batch',
    received_at   DateTime64(6, 'UTC'),
    door          LowCardinality(String) COMMENT 'Which door it came in by: s2s, ...',
    method        LowCardinality(String),
    source_ip     String,
    advertiser_id Nullable(UUID) COMMENT 'NULL where the key was nobody''s',
    offer_id      Nullable(UUID) COMMENT 'NULL where no click was found',
    partner_id    Nullable(UUID),
    request_id    String,
    click_id      String COMMENT 'As it was sent: ours or the partner''s own',
    lead_id       Nullable(UUID),
    parameters    String COMMENT 'Raw parameters as JSON [[name, value], ...], secrets redacted',
    verdict       LowCardinality(String) COMMENT 'accepted, duplicate, conflict, quarantined or rejected',
    http_status   UInt16,
    reason_code   LowCardinality(String) COMMENT 'Machine-readable reason; empty where all went well',
    reason        String COMMENT 'The same in words',
    answer        String COMMENT 'Body of the answer',
    is_test       Bool,
    node_id       UUID
)
ENGINE = ReplicatedMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (received_at, inbound_id)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS inbound_requests ON CLUSTER '{cluster}' AS inbound_requests_local
ENGINE = Distributed('{cluster}', currentDatabase(), inbound_requests_local, cityHash64(inbound_id));

CREATE TABLE IF NOT EXISTS clicks_local ON CLUSTER '{cluster}'
(
    click_id        UUID,
    clicked_at      DateTime64(6, 'UTC'),
    link_id         UUID,
    offer_id        UUID,
    partner_id      UUID,
    advertiser_id   UUID,
    partner_clickid String COMMENT 'The partner''s own click id; ours where none was sent',
    subs            Array(String) COMMENT 'sub1 to sub5',
    ip              String,
    user_agent      String,
    referrer        String,
    country         LowCardinality(String),
    device          LowCardinality(String),
    parameters      Map(String, String) COMMENT 'utm_* and every other parameter'
)
ENGINE = ReplicatedMergeTree
PARTITION BY toYYYYMM(clicked_at)
ORDER BY (clicked_at, click_id)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS clicks ON CLUSTER '{cluster}' AS clicks_local
ENGINE = Distributed('{cluster}', currentDatabase(), clicks_local, cityHash64(click_id));

CREATE TABLE IF NOT EXISTS conversion_events_local ON CLUSTER '{cluster}'
(
    change_id       UUID COMMENT 'One change of a conversion or customer; it may carry several events',
    event           LowCardinality(String),
    recorded_at     DateTime64(6, 'UTC'),
    occurred_at     DateTime64(6, 'UTC') COMMENT 'When it happened by the advertiser''s word',
    lead_id         Nullable(UUID),
    customer_id     String,
    request_id      String,
    click_id        UUID,
    advertiser_id   UUID,
    offer_id        UUID,
    partner_id      UUID,
    link_id         UUID,
    action          LowCardinality(String),
    status_from     LowCardinality(String) COMMENT 'Empty for a new conversion',
    status          LowCardinality(String),
    amount          Nullable(Decimal(38, 6)),
    currency        LowCardinality(String),
    payout          Nullable(Decimal(38, 6)),
    payout_currency LowCardinality(String),
    country         LowCardinality(String),
    device          LowCardinality(String),
    is_test         Bool
)
ENGINE = ReplicatedMergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (recorded_at, change_id, event)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS conversion_events ON CLUSTER '{cluster}' AS conversion_events_local
ENGINE = Distributed('{cluster}', currentDatabase(), conversion_events_local, cityHash64(click_id));
