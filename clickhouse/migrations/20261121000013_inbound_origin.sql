-- Which integration a request came by, and which earlier request it repeats.

ALTER TABLE inbound_requests
    ADD COLUMN IF NOT EXISTS integration_id Nullable(UUID) COMMENT 'The integration it came by; NULL at other doors',
    ADD COLUMN IF NOT EXISTS origin_id Nullable(UUID) COMMENT 'inbound_id of the request this one processes again: a release from quarantine or a repeat from the log';
