-- What people who build dashboards may read: views under names that stay, without secrets, bodies
-- and addresses, and with the names of today beside the ids. clickhouse/users/README.md says
-- which column is left out and why.
--
-- A view reads with the rights of the user who made it (DEFINER), so its readers need no right on a
-- table. On a cluster, `names` and `view_readers` are whole on every server, and who asks is looked up
-- where it asks (GLOBAL IN).
--
-- Views are made anew at every start: with another user in CLICKHOUSE_URL they would otherwise go on
-- asking for the rights of one that may be gone.

CREATE TABLE IF NOT EXISTS names
(
    kind          LowCardinality(String) COMMENT 'partner, advertiser, offer or postback',
    id            UUID COMMENT 'Of the partner, advertiser, offer or postback',
    name          String COMMENT 'As of the latest version; of a postback: its host and events',
    owner         LowCardinality(String) COMMENT 'Of a postback: partner, advertiser or platform; else empty',
    partner_id    Nullable(UUID) COMMENT 'Of a postback that a partner owns',
    advertiser_id Nullable(UUID) COMMENT 'Of an offer, or of a postback that an advertiser owns',
    offer_id      Nullable(UUID) COMMENT 'Of a postback of one offer',
    destination   String COMMENT 'Of a postback: host of its URL',
    events        Array(LowCardinality(String)) COMMENT 'Of a postback: what it is told',
    state         LowCardinality(String) COMMENT 'active, paused or deleted',
    version       UInt64 COMMENT 'Version of the catalogue that it was read in; the highest holds'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (kind, id)
COMMENT 'What the ids of the log are called; told anew when somebody changes it';

CREATE TABLE IF NOT EXISTS view_readers
(
    user_name     String COMMENT 'A user of ClickHouse',
    partner_id    Nullable(UUID) COMMENT 'Whom v_partner_... views show to this user',
    advertiser_id Nullable(UUID) COMMENT 'Whom v_advertiser_... views show to this user'
)
ENGINE = MergeTree
ORDER BY user_name
COMMENT 'Which partner or advertiser a user of ClickHouse may read as; without a row it reads nothing';

CREATE OR REPLACE VIEW v_attempts
(
    attempt_id      UUID                     COMMENT 'One try of one delivery',
    delivery_id     UUID                     COMMENT 'The same in every attempt of a delivery',
    started_at      DateTime64(6, 'UTC')     COMMENT 'When the attempt began',
    postback_id     LowCardinality(UUID)     COMMENT 'The postback; its settings are in v_postbacks',
    destination     String                   COMMENT 'Host the request was sent to; empty where nothing was',
    owner           LowCardinality(String)   COMMENT 'Who configured the postback: partner, advertiser or platform',
    partner_id      LowCardinality(UUID)     COMMENT 'Partner whose click it was',
    partner         String                   COMMENT 'Its name as of now; empty in the second until ClickHouse has heard it',
    advertiser_id   LowCardinality(UUID)     COMMENT 'Advertiser of the offer',
    advertiser      String                   COMMENT 'Its name as of now',
    offer_id        LowCardinality(UUID)     COMMENT 'Offer',
    offer           String                   COMMENT 'Its name as of now',
    link_id         LowCardinality(UUID)     COMMENT 'Link of the click',
    lead_id         Nullable(UUID)           COMMENT 'Conversion; NULL for events of a recurring customer',
    click_id        UUID                     COMMENT 'Our click id',
    txid            String                   COMMENT 'Transaction id: the request id, or the lead id where there is none',
    action          LowCardinality(String)   COMMENT 'Name of the action',
    event           LowCardinality(String)   COMMENT 'What happened: sale, ftd, approve, ...',
    status          LowCardinality(String)   COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    amount          Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    currency        LowCardinality(String)   COMMENT 'ISO 4217',
    payout          Nullable(Decimal(38, 6)) COMMENT 'Partner payout, in payout_currency',
    payout_currency LowCardinality(String)   COMMENT 'ISO 4217',
    country         LowCardinality(String)   COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device          LowCardinality(String)   COMMENT 'desktop, mobile, tablet, bot or other',
    method          LowCardinality(String)   COMMENT 'HTTP method',
    outcome         LowCardinality(String)   COMMENT 'delivered, retrying, failed or skipped',
    error_kind      LowCardinality(String)   COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, refused (the code said success, the body did not), interrupted, blocked, internal or condition',
    attempt         UInt16                   COMMENT 'Number of this attempt, from 1',
    response_code   UInt16                   COMMENT 'HTTP status answered; 0 where no answer came',
    queued_us       UInt64                   COMMENT 'From due to begun, microseconds',
    dns_us          UInt64                   COMMENT 'Looking the name up, microseconds; 0 on a reused connection',
    connect_us      UInt64                   COMMENT 'Connecting, microseconds; 0 on a reused connection',
    tls_us          UInt64                   COMMENT 'TLS handshake, microseconds; 0 on a reused connection and without TLS',
    first_byte_us   UInt64                   COMMENT 'From begun to the head of the answer, microseconds; 0 where none came',
    total_us        UInt64                   COMMENT 'From begun to the end of the answer, microseconds',
    http_version    LowCardinality(String)   COMMENT '1.1 or 2; empty where nothing was sent',
    is_test         Bool                     COMMENT 'Of a test conversion',
    node_id         LowCardinality(UUID)     COMMENT 'Server process that recorded it'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'partner') AS partners,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'advertiser') AS advertisers,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    attempt_id, delivery_id, started_at, postback_id, domain(url) AS destination, owner, partner_id,
    transform(partner_id, partners.1, partners.2, '') AS partner, advertiser_id,
    transform(advertiser_id, advertisers.1, advertisers.2, '') AS advertiser, offer_id,
    transform(offer_id, offers.1, offers.2, '') AS offer, link_id, lead_id, click_id, txid, action,
    event, status, amount, currency, payout, payout_currency, country, device, method, outcome,
    error_kind, attempt, response_code, queued_us, dns_us, connect_us, tls_us, first_byte_us, total_us,
    http_version, is_test, node_id
FROM attempts
COMMENT 'Delivery attempts, one row each, without what was sent and answered';

CREATE OR REPLACE VIEW v_inbound_requests
(
    inbound_id     UUID                           COMMENT 'One request received, or one item of a batch',
    received_at    DateTime64(6, 'UTC')           COMMENT 'When it was received',
    door           LowCardinality(String)         COMMENT 'Which door it came in by: s2s, ...',
    method         LowCardinality(String)         COMMENT 'HTTP method',
    advertiser_id  LowCardinality(Nullable(UUID)) COMMENT 'NULL where the key was nobody''s',
    advertiser     String                         COMMENT 'Its name as of now',
    offer_id       LowCardinality(Nullable(UUID)) COMMENT 'NULL where no click was found',
    offer          String                         COMMENT 'Its name as of now',
    partner_id     LowCardinality(Nullable(UUID)) COMMENT 'NULL where no click was found',
    partner        String                         COMMENT 'Its name as of now; empty in the second until ClickHouse has heard it',
    request_id     String                         COMMENT 'As the advertiser sent it',
    lead_id        Nullable(UUID)                 COMMENT 'Conversion it made or was about',
    verdict        LowCardinality(String)         COMMENT 'accepted, duplicate, conflict, quarantined or rejected',
    http_status    UInt16                         COMMENT 'HTTP status answered',
    reason_code    LowCardinality(String)         COMMENT 'Machine-readable reason; empty where all went well',
    integration_id LowCardinality(Nullable(UUID)) COMMENT 'The integration it came by; NULL at other doors',
    origin_id      Nullable(UUID)                 COMMENT 'inbound_id of the request this one processes again',
    is_test        Bool                           COMMENT 'Of a test conversion',
    node_id        LowCardinality(UUID)           COMMENT 'Server process that recorded it'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'partner') AS partners,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'advertiser') AS advertisers,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    inbound_id, received_at, door, method, advertiser_id,
    transform(assumeNotNull(advertiser_id), advertisers.1, advertisers.2, '') AS advertiser, offer_id,
    transform(assumeNotNull(offer_id), offers.1, offers.2, '') AS offer, partner_id,
    transform(assumeNotNull(partner_id), partners.1, partners.2, '') AS partner, request_id, lead_id,
    verdict, http_status, reason_code, integration_id, origin_id, is_test, node_id
FROM inbound_requests
COMMENT 'Conversion requests received, good or bad, without their parameters and senders';

CREATE OR REPLACE VIEW v_clicks
(
    click_id      UUID                   COMMENT 'Our click id',
    clicked_at    DateTime64(6, 'UTC')   COMMENT 'When the visitor came',
    link_id       LowCardinality(UUID)   COMMENT 'Link of the click',
    offer_id      LowCardinality(UUID)   COMMENT 'Offer',
    offer         String                 COMMENT 'Its name as of now',
    partner_id    LowCardinality(UUID)   COMMENT 'Partner whose click it was',
    partner       String                 COMMENT 'Its name as of now; empty in the second until ClickHouse has heard it',
    advertiser_id LowCardinality(UUID)   COMMENT 'Advertiser of the offer',
    advertiser    String                 COMMENT 'Its name as of now',
    country       LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device        LowCardinality(String) COMMENT 'desktop, mobile, tablet, bot or other'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'partner') AS partners,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'advertiser') AS advertisers,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    click_id, clicked_at, link_id, offer_id, transform(offer_id, offers.1, offers.2, '') AS offer,
    partner_id, transform(partner_id, partners.1, partners.2, '') AS partner, advertiser_id,
    transform(advertiser_id, advertisers.1, advertisers.2, '') AS advertiser, country, device
FROM clicks
COMMENT 'Clicks, without what tells visitors apart';

CREATE OR REPLACE VIEW v_conversion_events
(
    change_id       UUID                     COMMENT 'One change of a conversion or customer; it may carry several events',
    event           LowCardinality(String)   COMMENT 'What happened: sale, ftd, approve, ...',
    recorded_at     DateTime64(6, 'UTC')     COMMENT 'When it was recorded',
    occurred_at     DateTime64(6, 'UTC')     COMMENT 'When it happened by the advertiser''s word',
    lead_id         Nullable(UUID)           COMMENT 'Conversion; NULL for events of a recurring customer',
    request_id      String                   COMMENT 'As the advertiser sent it',
    click_id        UUID                     COMMENT 'Our click id',
    advertiser_id   LowCardinality(UUID)     COMMENT 'Advertiser of the offer',
    advertiser      String                   COMMENT 'Its name as of now',
    offer_id        LowCardinality(UUID)     COMMENT 'Offer',
    offer           String                   COMMENT 'Its name as of now',
    partner_id      LowCardinality(UUID)     COMMENT 'Partner whose click it was',
    partner         String                   COMMENT 'Its name as of now; empty in the second until ClickHouse has heard it',
    link_id         LowCardinality(UUID)     COMMENT 'Link of the click',
    action          LowCardinality(String)   COMMENT 'Name of the action',
    status_from     LowCardinality(String)   COMMENT 'Status before; empty for a new conversion',
    status          LowCardinality(String)   COMMENT 'Status after',
    amount          Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    currency        LowCardinality(String)   COMMENT 'ISO 4217',
    payout          Nullable(Decimal(38, 6)) COMMENT 'Partner payout, in payout_currency',
    payout_currency LowCardinality(String)   COMMENT 'ISO 4217',
    country         LowCardinality(String)   COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device          LowCardinality(String)   COMMENT 'desktop, mobile, tablet, bot or other',
    is_test         Bool                     COMMENT 'Of a test conversion'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'partner') AS partners,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'advertiser') AS advertisers,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    change_id, event, recorded_at, occurred_at, lead_id, request_id, click_id, advertiser_id,
    transform(advertiser_id, advertisers.1, advertisers.2, '') AS advertiser, offer_id,
    transform(offer_id, offers.1, offers.2, '') AS offer, partner_id,
    transform(partner_id, partners.1, partners.2, '') AS partner, link_id, action, status_from, status,
    amount, currency, payout, payout_currency, country, device, is_test
FROM conversion_events
COMMENT 'What became of conversions: one row an event';

CREATE OR REPLACE VIEW v_partner_attempts
(
    attempt_id      UUID                     COMMENT 'One try of one delivery',
    delivery_id     UUID                     COMMENT 'The same in every attempt of a delivery',
    started_at      DateTime64(6, 'UTC')     COMMENT 'When the attempt began',
    postback_id     LowCardinality(UUID)     COMMENT 'The postback; its settings are in v_postbacks',
    destination     String                   COMMENT 'Host the request was sent to; empty where nothing was',
    partner_id      LowCardinality(UUID)     COMMENT 'Partner whose click it was',
    offer_id        LowCardinality(UUID)     COMMENT 'Offer',
    offer           String                   COMMENT 'Its name as of now',
    link_id         LowCardinality(UUID)     COMMENT 'Link of the click',
    lead_id         Nullable(UUID)           COMMENT 'Conversion; NULL for events of a recurring customer',
    click_id        UUID                     COMMENT 'Our click id',
    txid            String                   COMMENT 'Transaction id: the request id, or the lead id where there is none',
    action          LowCardinality(String)   COMMENT 'Name of the action',
    event           LowCardinality(String)   COMMENT 'What happened: sale, ftd, approve, ...',
    status          LowCardinality(String)   COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    amount          Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    currency        LowCardinality(String)   COMMENT 'ISO 4217',
    payout          Nullable(Decimal(38, 6)) COMMENT 'Partner payout, in payout_currency',
    payout_currency LowCardinality(String)   COMMENT 'ISO 4217',
    country         LowCardinality(String)   COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device          LowCardinality(String)   COMMENT 'desktop, mobile, tablet, bot or other',
    method          LowCardinality(String)   COMMENT 'HTTP method',
    url             String                   COMMENT 'URL sent, secrets redacted',
    outcome         LowCardinality(String)   COMMENT 'delivered, retrying, failed or skipped',
    reason          String                   COMMENT 'Why, in words; empty where all went well',
    error_kind      LowCardinality(String)   COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, refused (the code said success, the body did not), interrupted, blocked, internal or condition',
    attempt         UInt16                   COMMENT 'Number of this attempt, from 1',
    response_code   UInt16                   COMMENT 'HTTP status answered; 0 where no answer came',
    queued_us       UInt64                   COMMENT 'From due to begun, microseconds',
    dns_us          UInt64                   COMMENT 'Looking the name up, microseconds; 0 on a reused connection',
    connect_us      UInt64                   COMMENT 'Connecting, microseconds; 0 on a reused connection',
    tls_us          UInt64                   COMMENT 'TLS handshake, microseconds; 0 on a reused connection and without TLS',
    first_byte_us   UInt64                   COMMENT 'From begun to the head of the answer, microseconds; 0 where none came',
    total_us        UInt64                   COMMENT 'From begun to the end of the answer, microseconds',
    is_test         Bool                     COMMENT 'Of a test conversion'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    attempt_id, delivery_id, started_at, postback_id, domain(url) AS destination, partner_id, offer_id,
    transform(offer_id, offers.1, offers.2, '') AS offer, link_id, lead_id, click_id, txid, action,
    event, status, amount, currency, payout, payout_currency, country, device, method, url, outcome,
    reason, error_kind, attempt, response_code, queued_us, dns_us, connect_us, tls_us, first_byte_us,
    total_us, is_test
FROM attempts
WHERE partner_id GLOBAL IN (
    SELECT assumeNotNull(partner_id) FROM view_readers WHERE user_name = currentUser() AND partner_id IS NOT NULL
)
  AND owner = 'partner'
COMMENT 'Attempts of a partner''s own postbacks, for the partner whom view_readers lets the asking user read as';

CREATE OR REPLACE VIEW v_partner_clicks
(
    click_id        UUID                   COMMENT 'Our click id',
    clicked_at      DateTime64(6, 'UTC')   COMMENT 'When the visitor came',
    partner_clickid String                 COMMENT 'The partner''s own click id; ours where none was sent',
    subs            Array(String)          COMMENT 'sub1 to sub5',
    link_id         LowCardinality(UUID)   COMMENT 'Link of the click',
    offer_id        LowCardinality(UUID)   COMMENT 'Offer',
    offer           String                 COMMENT 'Its name as of now',
    partner_id      LowCardinality(UUID)   COMMENT 'Partner whose click it was',
    country         LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device          LowCardinality(String) COMMENT 'desktop, mobile, tablet, bot or other'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    click_id, clicked_at, partner_clickid, subs, link_id, offer_id,
    transform(offer_id, offers.1, offers.2, '') AS offer, partner_id, country, device
FROM clicks
WHERE partner_id GLOBAL IN (
    SELECT assumeNotNull(partner_id) FROM view_readers WHERE user_name = currentUser() AND partner_id IS NOT NULL
)
COMMENT 'A partner''s own clicks';

CREATE OR REPLACE VIEW v_partner_conversion_events
(
    change_id       UUID                     COMMENT 'One change of a conversion or customer; it may carry several events',
    event           LowCardinality(String)   COMMENT 'What happened: sale, ftd, approve, ...',
    recorded_at     DateTime64(6, 'UTC')     COMMENT 'When it was recorded',
    occurred_at     DateTime64(6, 'UTC')     COMMENT 'When it happened by the advertiser''s word',
    lead_id         Nullable(UUID)           COMMENT 'Conversion; NULL for events of a recurring customer',
    request_id      String                   COMMENT 'As the advertiser sent it',
    click_id        UUID                     COMMENT 'Our click id',
    offer_id        LowCardinality(UUID)     COMMENT 'Offer',
    offer           String                   COMMENT 'Its name as of now',
    partner_id      LowCardinality(UUID)     COMMENT 'Partner whose click it was',
    link_id         LowCardinality(UUID)     COMMENT 'Link of the click',
    action          LowCardinality(String)   COMMENT 'Name of the action',
    status_from     LowCardinality(String)   COMMENT 'Status before; empty for a new conversion',
    status          LowCardinality(String)   COMMENT 'Status after',
    amount          Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    currency        LowCardinality(String)   COMMENT 'ISO 4217',
    payout          Nullable(Decimal(38, 6)) COMMENT 'Partner payout, in payout_currency',
    payout_currency LowCardinality(String)   COMMENT 'ISO 4217',
    country         LowCardinality(String)   COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device          LowCardinality(String)   COMMENT 'desktop, mobile, tablet, bot or other',
    is_test         Bool                     COMMENT 'Of a test conversion'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    change_id, event, recorded_at, occurred_at, lead_id, request_id, click_id, offer_id,
    transform(offer_id, offers.1, offers.2, '') AS offer, partner_id, link_id, action, status_from,
    status, amount, currency, payout, payout_currency, country, device, is_test
FROM conversion_events
WHERE partner_id GLOBAL IN (
    SELECT assumeNotNull(partner_id) FROM view_readers WHERE user_name = currentUser() AND partner_id IS NOT NULL
)
COMMENT 'What became of the conversions of a partner''s clicks';

CREATE OR REPLACE VIEW v_advertiser_attempts
(
    attempt_id    UUID                     COMMENT 'One try of one delivery',
    delivery_id   UUID                     COMMENT 'The same in every attempt of a delivery',
    started_at    DateTime64(6, 'UTC')     COMMENT 'When the attempt began',
    postback_id   LowCardinality(UUID)     COMMENT 'The postback; its settings are in v_postbacks',
    destination   String                   COMMENT 'Host the request was sent to; empty where nothing was',
    advertiser_id LowCardinality(UUID)     COMMENT 'Advertiser of the offer',
    offer_id      LowCardinality(UUID)     COMMENT 'Offer',
    offer         String                   COMMENT 'Its name as of now',
    lead_id       Nullable(UUID)           COMMENT 'Conversion; NULL for events of a recurring customer',
    click_id      UUID                     COMMENT 'Our click id',
    txid          String                   COMMENT 'Transaction id: the request id, or the lead id where there is none',
    action        LowCardinality(String)   COMMENT 'Name of the action',
    event         LowCardinality(String)   COMMENT 'What happened: sale, ftd, approve, ...',
    status        LowCardinality(String)   COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    amount        Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    currency      LowCardinality(String)   COMMENT 'ISO 4217',
    country       LowCardinality(String)   COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device        LowCardinality(String)   COMMENT 'desktop, mobile, tablet, bot or other',
    method        LowCardinality(String)   COMMENT 'HTTP method',
    url           String                   COMMENT 'URL sent, secrets redacted',
    outcome       LowCardinality(String)   COMMENT 'delivered, retrying, failed or skipped',
    reason        String                   COMMENT 'Why, in words; empty where all went well',
    error_kind    LowCardinality(String)   COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, refused (the code said success, the body did not), interrupted, blocked, internal or condition',
    attempt       UInt16                   COMMENT 'Number of this attempt, from 1',
    response_code UInt16                   COMMENT 'HTTP status answered; 0 where no answer came',
    queued_us     UInt64                   COMMENT 'From due to begun, microseconds',
    dns_us        UInt64                   COMMENT 'Looking the name up, microseconds; 0 on a reused connection',
    connect_us    UInt64                   COMMENT 'Connecting, microseconds; 0 on a reused connection',
    tls_us        UInt64                   COMMENT 'TLS handshake, microseconds; 0 on a reused connection and without TLS',
    first_byte_us UInt64                   COMMENT 'From begun to the head of the answer, microseconds; 0 where none came',
    total_us      UInt64                   COMMENT 'From begun to the end of the answer, microseconds',
    is_test       Bool                     COMMENT 'Of a test conversion'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    attempt_id, delivery_id, started_at, postback_id, domain(url) AS destination, advertiser_id,
    offer_id, transform(offer_id, offers.1, offers.2, '') AS offer, lead_id, click_id, txid, action,
    event, status, amount, currency, country, device, method, url, outcome, reason, error_kind, attempt,
    response_code, queued_us, dns_us, connect_us, tls_us, first_byte_us, total_us, is_test
FROM attempts
WHERE advertiser_id GLOBAL IN (
    SELECT assumeNotNull(advertiser_id) FROM view_readers WHERE user_name = currentUser() AND advertiser_id IS NOT NULL
)
  AND owner = 'advertiser'
COMMENT 'Attempts of an advertiser''s own postbacks, for the advertiser whom view_readers lets the asking user read as';

CREATE OR REPLACE VIEW v_advertiser_inbound_requests
(
    inbound_id     UUID                           COMMENT 'One request received, or one item of a batch',
    received_at    DateTime64(6, 'UTC')           COMMENT 'When it was received',
    door           LowCardinality(String)         COMMENT 'Which door it came in by: s2s, ...',
    method         LowCardinality(String)         COMMENT 'HTTP method',
    advertiser_id  LowCardinality(Nullable(UUID)) COMMENT 'NULL where the key was nobody''s',
    offer_id       LowCardinality(Nullable(UUID)) COMMENT 'NULL where no click was found',
    offer          String                         COMMENT 'Its name as of now',
    request_id     String                         COMMENT 'As the advertiser sent it',
    click_id       String                         COMMENT 'As the advertiser sent it: ours or the partner''s own',
    lead_id        Nullable(UUID)                 COMMENT 'Conversion it made or was about',
    verdict        LowCardinality(String)         COMMENT 'accepted, duplicate, conflict, quarantined or rejected',
    http_status    UInt16                         COMMENT 'HTTP status answered',
    reason_code    LowCardinality(String)         COMMENT 'Machine-readable reason; empty where all went well',
    integration_id LowCardinality(Nullable(UUID)) COMMENT 'The integration it came by; NULL at other doors',
    origin_id      Nullable(UUID)                 COMMENT 'inbound_id of the request this one processes again',
    is_test        Bool                           COMMENT 'Of a test conversion'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    inbound_id, received_at, door, method, advertiser_id, offer_id,
    transform(assumeNotNull(offer_id), offers.1, offers.2, '') AS offer, request_id, click_id, lead_id,
    verdict, http_status, reason_code, integration_id, origin_id, is_test
FROM inbound_requests
WHERE advertiser_id GLOBAL IN (
    SELECT assumeNotNull(advertiser_id) FROM view_readers WHERE user_name = currentUser() AND advertiser_id IS NOT NULL
)
COMMENT 'An advertiser''s own requests';

CREATE OR REPLACE VIEW v_advertiser_conversion_events
(
    change_id     UUID                     COMMENT 'One change of a conversion or customer; it may carry several events',
    event         LowCardinality(String)   COMMENT 'What happened: sale, ftd, approve, ...',
    recorded_at   DateTime64(6, 'UTC')     COMMENT 'When it was recorded',
    occurred_at   DateTime64(6, 'UTC')     COMMENT 'When it happened by the advertiser''s word',
    lead_id       Nullable(UUID)           COMMENT 'Conversion; NULL for events of a recurring customer',
    request_id    String                   COMMENT 'As the advertiser sent it',
    click_id      UUID                     COMMENT 'Our click id',
    advertiser_id LowCardinality(UUID)     COMMENT 'Advertiser of the offer',
    offer_id      LowCardinality(UUID)     COMMENT 'Offer',
    offer         String                   COMMENT 'Its name as of now',
    action        LowCardinality(String)   COMMENT 'Name of the action',
    status_from   LowCardinality(String)   COMMENT 'Status before; empty for a new conversion',
    status        LowCardinality(String)   COMMENT 'Status after',
    amount        Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    currency      LowCardinality(String)   COMMENT 'ISO 4217',
    country       LowCardinality(String)   COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    device        LowCardinality(String)   COMMENT 'desktop, mobile, tablet, bot or other',
    is_test       Bool                     COMMENT 'Of a test conversion'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    change_id, event, recorded_at, occurred_at, lead_id, request_id, click_id, advertiser_id, offer_id,
    transform(offer_id, offers.1, offers.2, '') AS offer, action, status_from, status, amount, currency,
    country, device, is_test
FROM conversion_events
WHERE advertiser_id GLOBAL IN (
    SELECT assumeNotNull(advertiser_id) FROM view_readers WHERE user_name = currentUser() AND advertiser_id IS NOT NULL
)
COMMENT 'What became of an advertiser''s conversions';

CREATE OR REPLACE VIEW v_partners
(
    partner_id UUID   COMMENT 'Partner',
    partner    String COMMENT 'Its name'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT id AS partner_id, name AS partner FROM names FINAL WHERE kind = 'partner'
COMMENT 'Partners';

CREATE OR REPLACE VIEW v_advertisers
(
    advertiser_id UUID   COMMENT 'Advertiser',
    advertiser    String COMMENT 'Its name'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT id AS advertiser_id, name AS advertiser FROM names FINAL WHERE kind = 'advertiser'
COMMENT 'Advertisers';

CREATE OR REPLACE VIEW v_offers
(
    offer_id      UUID           COMMENT 'Offer',
    offer         String         COMMENT 'Its name',
    advertiser_id Nullable(UUID) COMMENT 'Advertiser of the offer',
    advertiser    String         COMMENT 'Its name'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'advertiser') AS advertisers
SELECT
    id AS offer_id, name AS offer, advertiser_id,
    transform(assumeNotNull(advertiser_id), advertisers.1, advertisers.2, '') AS advertiser
FROM names FINAL
WHERE kind = 'offer'
COMMENT 'Offers';

CREATE OR REPLACE VIEW v_postbacks
(
    postback_id   UUID                          COMMENT 'Postback',
    postback      String                        COMMENT 'Its host and events, to be read by people',
    destination   String                        COMMENT 'Host of its URL',
    owner         LowCardinality(String)        COMMENT 'partner, advertiser or platform',
    partner_id    Nullable(UUID)                COMMENT 'Partner that owns it',
    partner       String                        COMMENT 'Its name; empty where another owns it',
    advertiser_id Nullable(UUID)                COMMENT 'Advertiser that owns it',
    advertiser    String                        COMMENT 'Its name; empty where another owns it',
    offer_id      Nullable(UUID)                COMMENT 'Offer it is limited to',
    events        Array(LowCardinality(String)) COMMENT 'What it is told',
    state         LowCardinality(String)        COMMENT 'active, paused or deleted'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'partner') AS partners,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'advertiser') AS advertisers
SELECT
    id AS postback_id, name AS postback, destination, owner,
    partner_id, transform(assumeNotNull(partner_id), partners.1, partners.2, '') AS partner,
    advertiser_id, transform(assumeNotNull(advertiser_id), advertisers.1, advertisers.2, '') AS advertiser,
    offer_id, events, state
FROM names FINAL
WHERE kind = 'postback'
COMMENT 'Postbacks: who is told what, where';

CREATE OR REPLACE VIEW v_attempts_by_minute
(
    bucket                  DateTime('UTC')                                                    COMMENT 'Minute that the attempts began in',
    outcome                 LowCardinality(String)                                             COMMENT 'delivered, retrying, failed or skipped',
    error_kind              LowCardinality(String)                                             COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, refused (the code said success, the body did not), interrupted, blocked, internal or condition',
    is_test                 Bool                                                               COMMENT 'Of a test conversion',
    attempts                SimpleAggregateFunction(sum, UInt64)                               COMMENT 'How many; add them up',
    first_attempts          SimpleAggregateFunction(sum, UInt64)                               COMMENT 'How many of them were the first of their delivery',
    answered                SimpleAggregateFunction(sum, UInt64)                               COMMENT 'How many of them got the head of an answer',
    total_us_sum            SimpleAggregateFunction(sum, UInt64)                               COMMENT 'Sum of total_us',
    total_us_max            SimpleAggregateFunction(max, UInt64)                               COMMENT 'Greatest total_us',
    queued_us_sum           SimpleAggregateFunction(sum, UInt64)                               COMMENT 'Sum of queued_us',
    total_us_quantiles      AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'State of total_us; read it with quantilesDDMerge(0.01, 0.5, ...), within 1 % of exact',
    queued_us_quantiles     AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of queued_us',
    first_byte_us_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of first_byte_us, of answered attempts only'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    bucket, outcome, error_kind, is_test, attempts, first_attempts, answered, total_us_sum, total_us_max,
    queued_us_sum, total_us_quantiles, queued_us_quantiles, first_byte_us_quantiles
FROM attempts_by_minute
COMMENT 'Attempts by minute, outcome and error kind, for quick charts of long ranges';

CREATE OR REPLACE VIEW v_attempts_by_day
(
    bucket         DateTime('UTC')                      COMMENT 'Start of the UTC day that the attempts began on',
    owner          LowCardinality(String)               COMMENT 'Who configured the postback: partner, advertiser or platform',
    partner_id     LowCardinality(UUID)                 COMMENT 'Partner whose click it was',
    partner        String                               COMMENT 'Its name as of now; empty in the second until ClickHouse has heard it',
    advertiser_id  LowCardinality(UUID)                 COMMENT 'Advertiser of the offer',
    advertiser     String                               COMMENT 'Its name as of now',
    offer_id       LowCardinality(UUID)                 COMMENT 'Offer',
    offer          String                               COMMENT 'Its name as of now',
    postback_id    LowCardinality(UUID)                 COMMENT 'The postback; its settings are in v_postbacks',
    event          LowCardinality(String)               COMMENT 'What happened: sale, ftd, approve, ...',
    status         LowCardinality(String)               COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    outcome        LowCardinality(String)               COMMENT 'delivered, retrying, failed or skipped',
    error_kind     LowCardinality(String)               COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, refused (the code said success, the body did not), interrupted, blocked, internal or condition',
    is_test        Bool                                 COMMENT 'Of a test conversion',
    attempts       SimpleAggregateFunction(sum, UInt64) COMMENT 'How many; add them up',
    first_attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them were the first of their delivery',
    answered       SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them got the head of an answer',
    total_us_sum   SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of total_us',
    total_us_max   SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest total_us',
    queued_us_sum  SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of queued_us'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'partner') AS partners,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'advertiser') AS advertisers,
     (SELECT groupArray((id, name)) FROM names FINAL WHERE kind = 'offer') AS offers
SELECT
    bucket, owner, partner_id, transform(partner_id, partners.1, partners.2, '') AS partner,
    advertiser_id, transform(advertiser_id, advertisers.1, advertisers.2, '') AS advertiser, offer_id,
    transform(offer_id, offers.1, offers.2, '') AS offer, postback_id, event, status, outcome,
    error_kind, is_test, attempts, first_attempts, answered, total_us_sum, total_us_max, queued_us_sum
FROM attempts_by_day
COMMENT 'Attempts by UTC day and everything they are filtered by';

CREATE OR REPLACE VIEW v_attempt_timings_by_day
(
    bucket                  DateTime('UTC')                                                    COMMENT 'Start of the UTC day that the attempts began on',
    grouped_by              LowCardinality(String)                                             COMMENT 'What group_id is: partner, advertiser, offer or postback; every attempt is counted once under each',
    group_id                UUID                                                               COMMENT 'Its id',
    name                    String                                                             COMMENT 'Its name as of now',
    outcome                 LowCardinality(String)                                             COMMENT 'delivered, retrying, failed or skipped',
    is_test                 Bool                                                               COMMENT 'Of a test conversion',
    attempts                SimpleAggregateFunction(sum, UInt64)                               COMMENT 'How many; add them up',
    first_attempts          SimpleAggregateFunction(sum, UInt64)                               COMMENT 'How many of them were the first of their delivery',
    answered                SimpleAggregateFunction(sum, UInt64)                               COMMENT 'How many of them got the head of an answer',
    total_us_sum            SimpleAggregateFunction(sum, UInt64)                               COMMENT 'Sum of total_us',
    total_us_max            SimpleAggregateFunction(max, UInt64)                               COMMENT 'Greatest total_us',
    queued_us_sum           SimpleAggregateFunction(sum, UInt64)                               COMMENT 'Sum of queued_us',
    total_us_quantiles      AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'State of total_us; read it with quantilesDDMerge(0.01, 0.5, ...), within 1 % of exact',
    queued_us_quantiles     AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of queued_us',
    first_byte_us_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of first_byte_us, of answered attempts only'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS WITH (SELECT groupArray((id, name)) FROM names FINAL) AS everybody
SELECT
    bucket, grouped_by, group_id, transform(group_id, everybody.1, everybody.2, '') AS name, outcome,
    is_test, attempts, first_attempts, answered, total_us_sum, total_us_max, queued_us_sum,
    total_us_quantiles, queued_us_quantiles, first_byte_us_quantiles
FROM attempt_timings_by_day
COMMENT 'Timings by UTC day of each partner, advertiser, offer and postback';
