ALTER TABLE attempts_local ON CLUSTER '{cluster}'
    MODIFY COLUMN postback_id LowCardinality(UUID) COMMENT 'The destination',
    MODIFY COLUMN partner_id LowCardinality(UUID) COMMENT 'Partner whose click converted',
    MODIFY COLUMN advertiser_id LowCardinality(UUID) COMMENT 'Advertiser of the offer',
    MODIFY COLUMN offer_id LowCardinality(UUID) COMMENT 'Offer that the click was for',
    MODIFY COLUMN link_id LowCardinality(UUID) COMMENT 'Link that the click came by',
    MODIFY COLUMN node_id LowCardinality(UUID) COMMENT 'Server process that recorded the attempt',
    ADD INDEX IF NOT EXISTS by_lead lead_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_click click_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_txid txid TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_delivery delivery_id TYPE bloom_filter(0.01) GRANULARITY 1,
    MODIFY COMMENT 'Attempts to deliver a postback: what was sent, what was answered, how long it took';

ALTER TABLE attempts ON CLUSTER '{cluster}'
    MODIFY COLUMN postback_id LowCardinality(UUID) COMMENT 'The destination',
    MODIFY COLUMN partner_id LowCardinality(UUID) COMMENT 'Partner whose click converted',
    MODIFY COLUMN advertiser_id LowCardinality(UUID) COMMENT 'Advertiser of the offer',
    MODIFY COLUMN offer_id LowCardinality(UUID) COMMENT 'Offer that the click was for',
    MODIFY COLUMN link_id LowCardinality(UUID) COMMENT 'Link that the click came by',
    MODIFY COLUMN node_id LowCardinality(UUID) COMMENT 'Server process that recorded the attempt';

ALTER TABLE attempts_local ON CLUSTER '{cluster}'
    MATERIALIZE INDEX by_lead, MATERIALIZE INDEX by_click, MATERIALIZE INDEX by_txid, MATERIALIZE INDEX by_delivery;

ALTER TABLE inbound_requests_local ON CLUSTER '{cluster}'
    MODIFY COLUMN received_at DateTime64(6, 'UTC') COMMENT 'When it was received',
    MODIFY COLUMN method LowCardinality(String) COMMENT 'HTTP method',
    MODIFY COLUMN source_ip String COMMENT 'Address of the caller, as trusted proxies tell it',
    MODIFY COLUMN advertiser_id LowCardinality(Nullable(UUID)) COMMENT 'NULL where the key was nobody''s',
    MODIFY COLUMN offer_id LowCardinality(Nullable(UUID)) COMMENT 'NULL where no click was found',
    MODIFY COLUMN partner_id LowCardinality(Nullable(UUID)) COMMENT 'NULL where no click was found',
    MODIFY COLUMN request_id String COMMENT 'As it was sent; empty where none was',
    MODIFY COLUMN lead_id Nullable(UUID) COMMENT 'The conversion it made or met; NULL for none',
    MODIFY COLUMN http_status UInt16 COMMENT 'HTTP status answered',
    MODIFY COLUMN is_test Bool COMMENT 'Of a test conversion',
    MODIFY COLUMN node_id LowCardinality(UUID) COMMENT 'Server process that answered it',
    MODIFY COLUMN integration_id LowCardinality(Nullable(UUID)) COMMENT 'The integration it came by; NULL at other doors',
    ADD INDEX IF NOT EXISTS by_lead lead_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_click click_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_request request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    MODIFY COMMENT 'Requests that reported conversions, good or bad, and what they were answered';

ALTER TABLE inbound_requests ON CLUSTER '{cluster}'
    MODIFY COLUMN received_at DateTime64(6, 'UTC') COMMENT 'When it was received',
    MODIFY COLUMN method LowCardinality(String) COMMENT 'HTTP method',
    MODIFY COLUMN source_ip String COMMENT 'Address of the caller, as trusted proxies tell it',
    MODIFY COLUMN advertiser_id LowCardinality(Nullable(UUID)) COMMENT 'NULL where the key was nobody''s',
    MODIFY COLUMN offer_id LowCardinality(Nullable(UUID)) COMMENT 'NULL where no click was found',
    MODIFY COLUMN partner_id LowCardinality(Nullable(UUID)) COMMENT 'NULL where no click was found',
    MODIFY COLUMN request_id String COMMENT 'As it was sent; empty where none was',
    MODIFY COLUMN lead_id Nullable(UUID) COMMENT 'The conversion it made or met; NULL for none',
    MODIFY COLUMN http_status UInt16 COMMENT 'HTTP status answered',
    MODIFY COLUMN is_test Bool COMMENT 'Of a test conversion',
    MODIFY COLUMN node_id LowCardinality(UUID) COMMENT 'Server process that answered it',
    MODIFY COLUMN integration_id LowCardinality(Nullable(UUID)) COMMENT 'The integration it came by; NULL at other doors';

ALTER TABLE inbound_requests_local ON CLUSTER '{cluster}'
    MATERIALIZE INDEX by_lead, MATERIALIZE INDEX by_click, MATERIALIZE INDEX by_request;

ALTER TABLE clicks_local ON CLUSTER '{cluster}'
    MODIFY COLUMN click_id UUID COMMENT 'Our click id, a UUIDv7 of the time of the click',
    MODIFY COLUMN clicked_at DateTime64(6, 'UTC') COMMENT 'When the visitor clicked',
    MODIFY COLUMN link_id LowCardinality(UUID) COMMENT 'The universal link clicked',
    MODIFY COLUMN offer_id LowCardinality(UUID) COMMENT 'Offer of the link',
    MODIFY COLUMN partner_id LowCardinality(UUID) COMMENT 'Partner of the link',
    MODIFY COLUMN advertiser_id LowCardinality(UUID) COMMENT 'Advertiser of the offer',
    MODIFY COLUMN ip String COMMENT 'Address of the visitor',
    MODIFY COLUMN user_agent String COMMENT 'The visitor''s user agent',
    MODIFY COLUMN referrer String COMMENT 'The page the visitor came from, or empty',
    MODIFY COLUMN country LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, or empty',
    MODIFY COLUMN device LowCardinality(String) COMMENT 'desktop, mobile, tablet, bot or other',
    ADD INDEX IF NOT EXISTS by_partner_clickid partner_clickid TYPE bloom_filter(0.01) GRANULARITY 1,
    MODIFY COMMENT 'Clicks of partners'' links';

ALTER TABLE clicks ON CLUSTER '{cluster}'
    MODIFY COLUMN click_id UUID COMMENT 'Our click id, a UUIDv7 of the time of the click',
    MODIFY COLUMN clicked_at DateTime64(6, 'UTC') COMMENT 'When the visitor clicked',
    MODIFY COLUMN link_id LowCardinality(UUID) COMMENT 'The universal link clicked',
    MODIFY COLUMN offer_id LowCardinality(UUID) COMMENT 'Offer of the link',
    MODIFY COLUMN partner_id LowCardinality(UUID) COMMENT 'Partner of the link',
    MODIFY COLUMN advertiser_id LowCardinality(UUID) COMMENT 'Advertiser of the offer',
    MODIFY COLUMN ip String COMMENT 'Address of the visitor',
    MODIFY COLUMN user_agent String COMMENT 'The visitor''s user agent',
    MODIFY COLUMN referrer String COMMENT 'The page the visitor came from, or empty',
    MODIFY COLUMN country LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, or empty',
    MODIFY COLUMN device LowCardinality(String) COMMENT 'desktop, mobile, tablet, bot or other';

ALTER TABLE clicks_local ON CLUSTER '{cluster}'
    MATERIALIZE INDEX by_partner_clickid;

ALTER TABLE conversion_events_local ON CLUSTER '{cluster}'
    MODIFY COLUMN event LowCardinality(String) COMMENT 'What happened: sale, ftd, approve, ...',
    MODIFY COLUMN recorded_at DateTime64(6, 'UTC') COMMENT 'When it was recorded',
    MODIFY COLUMN lead_id Nullable(UUID) COMMENT 'The conversion; NULL for events of a recurring customer',
    MODIFY COLUMN customer_id String COMMENT 'The advertiser''s name of a recurring customer, or empty',
    MODIFY COLUMN request_id String COMMENT 'The advertiser''s name of the conversion',
    MODIFY COLUMN click_id UUID COMMENT 'Our click id',
    MODIFY COLUMN advertiser_id LowCardinality(UUID) COMMENT 'Advertiser of the offer',
    MODIFY COLUMN offer_id LowCardinality(UUID) COMMENT 'Offer that the click was for',
    MODIFY COLUMN partner_id LowCardinality(UUID) COMMENT 'Partner whose click converted',
    MODIFY COLUMN link_id LowCardinality(UUID) COMMENT 'Link that the click came by',
    MODIFY COLUMN action LowCardinality(String) COMMENT 'Name of the action',
    MODIFY COLUMN status LowCardinality(String) COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    MODIFY COLUMN amount Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    MODIFY COLUMN currency LowCardinality(String) COMMENT 'ISO 4217',
    MODIFY COLUMN payout Nullable(Decimal(38, 6)) COMMENT 'Partner payout, in payout_currency',
    MODIFY COLUMN payout_currency LowCardinality(String) COMMENT 'ISO 4217',
    MODIFY COLUMN country LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    MODIFY COLUMN device LowCardinality(String) COMMENT 'desktop, mobile, tablet, bot or other',
    MODIFY COLUMN is_test Bool COMMENT 'Of a test conversion',
    ADD INDEX IF NOT EXISTS by_lead lead_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_click click_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_request request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    MODIFY COMMENT 'What happened to conversions and recurring customers: one row an event of a change';

ALTER TABLE conversion_events ON CLUSTER '{cluster}'
    MODIFY COLUMN event LowCardinality(String) COMMENT 'What happened: sale, ftd, approve, ...',
    MODIFY COLUMN recorded_at DateTime64(6, 'UTC') COMMENT 'When it was recorded',
    MODIFY COLUMN lead_id Nullable(UUID) COMMENT 'The conversion; NULL for events of a recurring customer',
    MODIFY COLUMN customer_id String COMMENT 'The advertiser''s name of a recurring customer, or empty',
    MODIFY COLUMN request_id String COMMENT 'The advertiser''s name of the conversion',
    MODIFY COLUMN click_id UUID COMMENT 'Our click id',
    MODIFY COLUMN advertiser_id LowCardinality(UUID) COMMENT 'Advertiser of the offer',
    MODIFY COLUMN offer_id LowCardinality(UUID) COMMENT 'Offer that the click was for',
    MODIFY COLUMN partner_id LowCardinality(UUID) COMMENT 'Partner whose click converted',
    MODIFY COLUMN link_id LowCardinality(UUID) COMMENT 'Link that the click came by',
    MODIFY COLUMN action LowCardinality(String) COMMENT 'Name of the action',
    MODIFY COLUMN status LowCardinality(String) COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    MODIFY COLUMN amount Nullable(Decimal(38, 6)) COMMENT 'Full price, in currency',
    MODIFY COLUMN currency LowCardinality(String) COMMENT 'ISO 4217',
    MODIFY COLUMN payout Nullable(Decimal(38, 6)) COMMENT 'Partner payout, in payout_currency',
    MODIFY COLUMN payout_currency LowCardinality(String) COMMENT 'ISO 4217',
    MODIFY COLUMN country LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 of the click, or empty',
    MODIFY COLUMN device LowCardinality(String) COMMENT 'desktop, mobile, tablet, bot or other',
    MODIFY COLUMN is_test Bool COMMENT 'Of a test conversion';

ALTER TABLE conversion_events_local ON CLUSTER '{cluster}'
    MATERIALIZE INDEX by_lead, MATERIALIZE INDEX by_click, MATERIALIZE INDEX by_request;
