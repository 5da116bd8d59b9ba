ALTER TABLE inbound_requests_local ON CLUSTER '{cluster}'
    ADD COLUMN IF NOT EXISTS integration_id Nullable(UUID) COMMENT 'The integration it came by; NULL at other doors',
    ADD COLUMN IF NOT EXISTS origin_id Nullable(UUID) COMMENT 'inbound_id of the request this one processes again: a release from quarantine or a repeat from the log';

ALTER TABLE inbound_requests ON CLUSTER '{cluster}'
    ADD COLUMN IF NOT EXISTS integration_id Nullable(UUID) COMMENT 'The integration it came by; NULL at other doors',
    ADD COLUMN IF NOT EXISTS origin_id Nullable(UUID) COMMENT 'inbound_id of the request this one processes again: a release from quarantine or a repeat from the log';
