ALTER TABLE attempts_local ON CLUSTER '{cluster}'
    ADD INDEX IF NOT EXISTS by_partner partner_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_offer offer_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_partner_and_offer sipHash64(partner_id, offer_id) TYPE bloom_filter(0.01) GRANULARITY 1;

ALTER TABLE attempts_local ON CLUSTER '{cluster}'
    MATERIALIZE INDEX by_partner, MATERIALIZE INDEX by_offer, MATERIALIZE INDEX by_partner_and_offer;

CREATE TABLE IF NOT EXISTS sent_timings_local ON CLUSTER '{cluster}'
(
    grouped_by              LowCardinality(String) COMMENT 'minute: all attempts of that minute; partner, advertiser, offer or postback: those of group_id on that UTC day. Every attempt is counted once under each',
    bucket                  DateTime('UTC') COMMENT 'Minute, or start of the UTC day, that the attempts began in',
    group_id                UUID COMMENT 'Id of the partner, advertiser, offer or postback; zeros by minute',
    is_test                 Bool COMMENT 'Of test conversions',
    attempts                SimpleAggregateFunction(sum, UInt64) COMMENT 'How many, the skipped included',
    sent                    SimpleAggregateFunction(sum, UInt64) COMMENT 'How many of them went out; what follows is of these',
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
ENGINE = ReplicatedAggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (grouped_by, bucket, group_id, is_test)
SETTINGS index_granularity = 1024, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Timings of attempts that went out, whatever their outcome: by minute of all, by UTC day of each partner, advertiser, offer and postback';

CREATE TABLE IF NOT EXISTS sent_timings ON CLUSTER '{cluster}' AS sent_timings_local
ENGINE = Distributed('{cluster}', currentDatabase(), sent_timings_local, rand());

CREATE MATERIALIZED VIEW IF NOT EXISTS attempts_to_sent_timings ON CLUSTER '{cluster}' TO sent_timings_local AS
SELECT
    grouping.1 AS grouped_by,
    grouping.2 AS bucket,
    grouping.3 AS group_id,
    is_test,
    count() AS attempts,
    countIf(outcome != 'skipped') AS sent,
    countIf(first_byte_us > 0) AS answered,
    sumIf(total_us, outcome != 'skipped') AS total_us_sum,
    maxIf(total_us, outcome != 'skipped') AS total_us_max,
    sumIf(queued_us, outcome != 'skipped') AS queued_us_sum,
    maxIf(queued_us, outcome != 'skipped') AS queued_us_max,
    sum(first_byte_us) AS first_byte_us_sum,
    max(first_byte_us) AS first_byte_us_max,
    quantilesDDStateIf(0.01, 0.5, 0.9, 0.95, 0.99)(total_us, outcome != 'skipped') AS total_us_quantiles,
    quantilesDDStateIf(0.01, 0.5, 0.9, 0.95, 0.99)(queued_us, outcome != 'skipped') AS queued_us_quantiles,
    quantilesDDStateIf(0.01, 0.5, 0.9, 0.95, 0.99)(first_byte_us, first_byte_us > 0) AS first_byte_us_quantiles
FROM attempts_local
ARRAY JOIN
    [('minute', toStartOfMinute(started_at), toUUID('00000000-0000-0000-0000-000000000000')), ('partner', toStartOfDay(started_at), toUUID(partner_id)), ('advertiser', toStartOfDay(started_at), toUUID(advertiser_id)), ('offer', toStartOfDay(started_at), toUUID(offer_id)), ('postback', toStartOfDay(started_at), toUUID(postback_id))] AS grouping
GROUP BY grouped_by, bucket, group_id, is_test;
