ALTER TABLE attempts_local ON CLUSTER '{cluster}'
    ADD COLUMN IF NOT EXISTS dns_us UInt64 COMMENT 'Looking the name up, microseconds; 0 on a reused connection' AFTER queued_us,
    ADD COLUMN IF NOT EXISTS connect_us UInt64 COMMENT 'Connecting, microseconds; 0 on a reused connection' AFTER dns_us,
    ADD COLUMN IF NOT EXISTS tls_us UInt64 COMMENT 'TLS handshake, microseconds; 0 on a reused connection and without TLS' AFTER connect_us,
    ADD COLUMN IF NOT EXISTS peer_ip String COMMENT 'Address the request went to; empty where none was reached' AFTER total_us,
    ADD COLUMN IF NOT EXISTS http_version LowCardinality(String) COMMENT '1.1 or 2; empty where nothing was sent' AFTER peer_ip,
    ADD COLUMN IF NOT EXISTS request_headers String COMMENT 'The postback''s own headers as JSON [[name, value], ...], secrets redacted; empty for none' AFTER url,
    ADD COLUMN IF NOT EXISTS request_body String COMMENT 'First 4 KiB of the body sent, secrets redacted' AFTER request_headers,
    MODIFY COLUMN error_kind LowCardinality(String) COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, interrupted, blocked or internal';

ALTER TABLE attempts ON CLUSTER '{cluster}'
    ADD COLUMN IF NOT EXISTS dns_us UInt64 COMMENT 'Looking the name up, microseconds; 0 on a reused connection' AFTER queued_us,
    ADD COLUMN IF NOT EXISTS connect_us UInt64 COMMENT 'Connecting, microseconds; 0 on a reused connection' AFTER dns_us,
    ADD COLUMN IF NOT EXISTS tls_us UInt64 COMMENT 'TLS handshake, microseconds; 0 on a reused connection and without TLS' AFTER connect_us,
    ADD COLUMN IF NOT EXISTS peer_ip String COMMENT 'Address the request went to; empty where none was reached' AFTER total_us,
    ADD COLUMN IF NOT EXISTS http_version LowCardinality(String) COMMENT '1.1 or 2; empty where nothing was sent' AFTER peer_ip,
    ADD COLUMN IF NOT EXISTS request_headers String COMMENT 'The postback''s own headers as JSON [[name, value], ...], secrets redacted; empty for none' AFTER url,
    ADD COLUMN IF NOT EXISTS request_body String COMMENT 'First 4 KiB of the body sent, secrets redacted' AFTER request_headers,
    MODIFY COLUMN error_kind LowCardinality(String) COMMENT 'none, dns, connect, tls, timeout, reset, status, redirect, interrupted, blocked or internal';
