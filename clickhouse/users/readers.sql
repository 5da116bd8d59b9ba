-- Who may read the views, for a ClickHouse of your own: `dash` for dashboards, and roles for partners
-- and advertisers who query it themselves. Run once after the first start of Ricochet, by a user with
-- access management:
--
--   clickhouse client --param_password='…' --queries-file clickhouse/users/readers.sql
--
-- `ricochet` is the database in CLICKHOUSE_URL; write yours if it is another. dash.xml makes `dash`
-- from a file instead.

CREATE SETTINGS PROFILE IF NOT EXISTS ricochet_reader SETTINGS
    readonly = 2,
    max_execution_time = 30 MIN 1 MAX 60,
    max_memory_usage = 1000000000 MIN 1 MAX 1000000000,
    max_concurrent_queries_for_user = 32 CONST;

CREATE USER IF NOT EXISTS dash IDENTIFIED WITH sha256_password BY {password:String} SETTINGS PROFILE 'ricochet_reader';

GRANT SELECT ON ricochet.v_advertisers TO dash;
GRANT SELECT ON ricochet.v_attempt_timings_by_day TO dash;
GRANT SELECT ON ricochet.v_attempts TO dash;
GRANT SELECT ON ricochet.v_attempts_by_day TO dash;
GRANT SELECT ON ricochet.v_attempts_by_minute TO dash;
GRANT SELECT ON ricochet.v_clicks TO dash;
GRANT SELECT ON ricochet.v_conversion_events TO dash;
GRANT SELECT ON ricochet.v_inbound_requests TO dash;
GRANT SELECT ON ricochet.v_offers TO dash;
GRANT SELECT ON ricochet.v_partners TO dash;
GRANT SELECT ON ricochet.v_postbacks TO dash;

-- What a user with one of these roles sees is what its row in view_readers says: see README.md.
CREATE ROLE IF NOT EXISTS ricochet_partner SETTINGS PROFILE 'ricochet_reader';

GRANT SELECT ON ricochet.v_partner_attempts TO ricochet_partner;
GRANT SELECT ON ricochet.v_partner_clicks TO ricochet_partner;
GRANT SELECT ON ricochet.v_partner_conversion_events TO ricochet_partner;

CREATE ROLE IF NOT EXISTS ricochet_advertiser SETTINGS PROFILE 'ricochet_reader';

GRANT SELECT ON ricochet.v_advertiser_attempts TO ricochet_advertiser;
GRANT SELECT ON ricochet.v_advertiser_conversion_events TO ricochet_advertiser;
GRANT SELECT ON ricochet.v_advertiser_inbound_requests TO ricochet_advertiser;
