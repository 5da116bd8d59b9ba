-- Figures of the attempts that are kept longer than the attempts themselves, and from which long
-- ranges are answered. Views fill the tables from every insert, under the insert's own
-- deduplication token; the migrator fills them from what was there before a view is made.
--
-- Three grains, because no one of them answers every question in time: few columns by minute,
-- all columns by UTC day but only counts, and timings by UTC day of one thing at a time.
-- Quantile states are of quantilesDD(0.01): any quantile read from them is within 1 % of exact.

CREATE TABLE IF NOT EXISTS attempts_by_minute
(
    bucket                  DateTime('UTC') COMMENT 'Minute that the attempts began in',
    outcome                 LowCardinality(String) COMMENT 'delivered, retrying, failed or skipped',
    error_kind              LowCardinality(String) COMMENT 'As in attempts',
    is_test                 Bool COMMENT 'Of test conversions',
    attempts                SimpleAggregateFunction(sum, UInt64) COMMENT 'How many',
    first_attempts          SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them were the first of their delivery',
    answered                SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them got the head of an answer',
    total_us_sum            SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of total_us',
    total_us_max            SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest total_us',
    queued_us_sum           SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of queued_us',
    queued_us_max           SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest queued_us',
    first_byte_us_sum       SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of first_byte_us',
    first_byte_us_max       SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest first_byte_us',
    total_us_quantiles      AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'State of total_us; read it with quantilesDDMerge(0.01, 0.5, ...)',
    queued_us_quantiles     AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of queued_us',
    first_byte_us_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of first_byte_us, of answered attempts only'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, outcome, error_kind, is_test)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Attempts by minute, outcome and error kind: counts and quantile states';

CREATE MATERIALIZED VIEW IF NOT EXISTS attempts_to_minutes TO attempts_by_minute AS
SELECT
    toStartOfMinute(started_at) AS bucket,
    outcome,
    error_kind,
    is_test,
    count() AS attempts,
    countIf(attempt = 1) AS first_attempts,
    countIf(first_byte_us > 0) AS answered,
    sum(total_us) AS total_us_sum,
    max(total_us) AS total_us_max,
    sum(queued_us) AS queued_us_sum,
    max(queued_us) AS queued_us_max,
    sum(first_byte_us) AS first_byte_us_sum,
    max(first_byte_us) AS first_byte_us_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(total_us) AS total_us_quantiles,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(queued_us) AS queued_us_quantiles,
    quantilesDDStateIf(0.01, 0.5, 0.9, 0.95, 0.99)(first_byte_us, first_byte_us > 0) AS first_byte_us_quantiles
FROM attempts
GROUP BY bucket, outcome, error_kind, is_test;

CREATE TABLE IF NOT EXISTS attempts_by_day
(
    bucket            DateTime('UTC') COMMENT 'Start of the UTC day that the attempts began on',
    owner             LowCardinality(String) COMMENT 'Who configured the postback: partner, advertiser or platform',
    partner_id        LowCardinality(UUID) COMMENT 'Partner whose click converted',
    advertiser_id     LowCardinality(UUID) COMMENT 'Advertiser of the offer',
    offer_id          LowCardinality(UUID) COMMENT 'Offer whose action was reached',
    postback_id       LowCardinality(UUID) COMMENT 'The destination',
    event             LowCardinality(String) COMMENT 'What happened: sale, ftd, approve, ...',
    status            LowCardinality(String) COMMENT 'Conversion status at the event: hold, approved, rejected, or empty',
    outcome           LowCardinality(String) COMMENT 'delivered, retrying, failed or skipped',
    error_kind        LowCardinality(String) COMMENT 'As in attempts',
    is_test           Bool COMMENT 'Of test conversions',
    attempts          SimpleAggregateFunction(sum, UInt64) COMMENT 'How many',
    first_attempts    SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them were the first of their delivery',
    answered          SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them got the head of an answer',
    total_us_sum      SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of total_us',
    total_us_max      SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest total_us',
    queued_us_sum     SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of queued_us',
    queued_us_max     SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest queued_us',
    first_byte_us_sum SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of first_byte_us',
    first_byte_us_max SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest first_byte_us'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, partner_id, offer_id, postback_id, advertiser_id, owner, event, status, outcome, error_kind, is_test)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Attempts by UTC day and everything they are filtered by: counts only';

CREATE MATERIALIZED VIEW IF NOT EXISTS attempts_to_days TO attempts_by_day AS
SELECT
    toStartOfDay(started_at) AS bucket,
    owner,
    partner_id,
    advertiser_id,
    offer_id,
    postback_id,
    event,
    status,
    outcome,
    error_kind,
    is_test,
    count() AS attempts,
    countIf(attempt = 1) AS first_attempts,
    countIf(first_byte_us > 0) AS answered,
    sum(total_us) AS total_us_sum,
    max(total_us) AS total_us_max,
    sum(queued_us) AS queued_us_sum,
    max(queued_us) AS queued_us_max,
    sum(first_byte_us) AS first_byte_us_sum,
    max(first_byte_us) AS first_byte_us_max
FROM attempts
GROUP BY bucket, owner, partner_id, advertiser_id, offer_id, postback_id, event, status, outcome, error_kind, is_test;

CREATE TABLE IF NOT EXISTS attempt_timings_by_day
(
    bucket                  DateTime('UTC') COMMENT 'Start of the UTC day that the attempts began on',
    grouped_by              LowCardinality(String) COMMENT 'What group_id is: partner, advertiser, offer or postback; every attempt is counted once under each',
    group_id                UUID COMMENT 'Its id',
    outcome                 LowCardinality(String) COMMENT 'delivered, retrying, failed or skipped',
    is_test                 Bool COMMENT 'Of test conversions',
    attempts                SimpleAggregateFunction(sum, UInt64) COMMENT 'How many',
    first_attempts          SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them were the first of their delivery',
    answered                SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them got the head of an answer',
    total_us_sum            SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of total_us',
    total_us_max            SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest total_us',
    queued_us_sum           SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of queued_us',
    queued_us_max           SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest queued_us',
    first_byte_us_sum       SimpleAggregateFunction(sum, UInt64) COMMENT 'Sum of first_byte_us',
    first_byte_us_max       SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest first_byte_us',
    total_us_quantiles      AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'State of total_us; read it with quantilesDDMerge(0.01, 0.5, ...)',
    queued_us_quantiles     AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of queued_us',
    first_byte_us_quantiles AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) COMMENT 'The same of first_byte_us, of answered attempts only'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (grouped_by, bucket, group_id, outcome, is_test)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Timings of attempts by UTC day of each partner, advertiser, offer and postback: counts and quantile states';

CREATE MATERIALIZED VIEW IF NOT EXISTS attempts_to_timings TO attempt_timings_by_day AS
SELECT
    toStartOfDay(started_at) AS bucket,
    grouping.1 AS grouped_by,
    grouping.2 AS group_id,
    outcome,
    is_test,
    count() AS attempts,
    countIf(attempt = 1) AS first_attempts,
    countIf(first_byte_us > 0) AS answered,
    sum(total_us) AS total_us_sum,
    max(total_us) AS total_us_max,
    sum(queued_us) AS queued_us_sum,
    max(queued_us) AS queued_us_max,
    sum(first_byte_us) AS first_byte_us_sum,
    max(first_byte_us) AS first_byte_us_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(total_us) AS total_us_quantiles,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(queued_us) AS queued_us_quantiles,
    quantilesDDStateIf(0.01, 0.5, 0.9, 0.95, 0.99)(first_byte_us, first_byte_us > 0) AS first_byte_us_quantiles
FROM attempts
ARRAY JOIN
    [('partner', toUUID(partner_id)), ('advertiser', toUUID(advertiser_id)), ('offer', toUUID(offer_id)), ('postback', toUUID(postback_id))] AS grouping
GROUP BY bucket, grouped_by, group_id, outcome, is_test;
