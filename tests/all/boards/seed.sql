-- A small network's last six hours: two of everybody, every status, outcome and verdict.

INSERT INTO names (kind, id, name, owner, partner_id, advertiser_id, destination, events, state, version) VALUES
    ('partner', '00000000-0000-7000-8000-0000000000a1', 'North', '', NULL, NULL, '', [], 'active', 1),
    ('partner', '00000000-0000-7000-8000-0000000000a2', 'O''South', '', NULL, NULL, '', [], 'active', 1),
    ('advertiser', '00000000-0000-7000-8000-0000000000b1', 'Alpha Shop', '', NULL, NULL, '', [], 'active', 1),
    ('advertiser', '00000000-0000-7000-8000-0000000000b2', 'Casino', '', NULL, NULL, '', [], 'active', 1),
    ('offer', '00000000-0000-7000-8000-0000000000c1', 'Shoes', '', NULL, '00000000-0000-7000-8000-0000000000b1', '', [], 'active', 1),
    ('offer', '00000000-0000-7000-8000-0000000000c2', 'Slots', '', NULL, '00000000-0000-7000-8000-0000000000b2', '', [], 'active', 1),
    ('postback', '00000000-0000-7000-8000-0000000000d1', 'one.example (sale)', 'partner', '00000000-0000-7000-8000-0000000000a1', NULL, 'one.example', ['sale'], 'active', 1),
    ('postback', '00000000-0000-7000-8000-0000000000d2', 'two.example (sale)', 'partner', '00000000-0000-7000-8000-0000000000a2', NULL, 'two.example', ['sale'], 'paused', 1);

INSERT INTO clicks (click_id, clicked_at, link_id, offer_id, partner_id, advertiser_id, country, device)
SELECT generateUUIDv4(), now64(6) - toIntervalSecond(number * 20), generateUUIDv4(),
    toUUID('00000000-0000-7000-8000-0000000000c' || toString(1 + number % 2)),
    toUUID('00000000-0000-7000-8000-0000000000a' || toString(1 + number % 2)),
    toUUID('00000000-0000-7000-8000-0000000000b' || toString(1 + number % 2)),
    ['DE', 'US', ''][1 + number % 3], ['mobile', 'desktop'][1 + number % 2]
FROM numbers(1000);

INSERT INTO conversion_events (change_id, event, recorded_at, occurred_at, lead_id, request_id, click_id, advertiser_id, offer_id, partner_id, link_id, action, status_from, status, amount, currency, payout, payout_currency, country, device)
WITH number AS n, intDiv(number, 2) % 3 AS fate
SELECT generateUUIDv4(n), ['sale', 'hold', 'approve', 'reject'][1 + part], now64(6) - toIntervalSecond(n * 50 + 10 - part), now64(6) - toIntervalSecond(n * 50 + 15 - part),
    toUUID('00000000-0000-7000-9000-' || leftPad(toString(n), 12, '0')), 'r' || toString(n), generateUUIDv4(),
    toUUID('00000000-0000-7000-8000-0000000000b' || toString(1 + n % 2)),
    toUUID('00000000-0000-7000-8000-0000000000c' || toString(1 + n % 2)),
    toUUID('00000000-0000-7000-8000-0000000000a' || toString(1 + n % 2)),
    generateUUIDv4(), 'sale', multiIf(part < 2, '', n % 4 = 1 AND part = 3, 'approved', 'hold'), if(part < 2, 'hold', ['', '', 'approved', 'rejected'][1 + part]), 25, 'USD', 10, ['USD', 'EUR'][1 + n % 2], 'DE', 'mobile'
FROM numbers(400)
ARRAY JOIN [[0, 1], [0, 1, 2], [0, 1, 3]][1 + fate] AS part;

INSERT INTO inbound_requests (inbound_id, received_at, door, method, advertiser_id, offer_id, partner_id, request_id, verdict, http_status, reason_code)
SELECT generateUUIDv4(), now64(6) - toIntervalSecond(number * 20), ['s2s', 'api'][1 + number % 2], 'GET',
    if(number % 97 = 0, NULL, toUUID('00000000-0000-7000-8000-0000000000b' || toString(1 + intDiv(number, 5) % 2))),
    toUUID('00000000-0000-7000-8000-0000000000c' || toString(1 + intDiv(number, 5) % 2)),
    toUUID('00000000-0000-7000-8000-0000000000a' || toString(1 + intDiv(number, 5) % 2)),
    'r' || toString(number), ['accepted', 'duplicate', 'conflict', 'quarantined', 'rejected'][1 + number % 5],
    [200, 200, 200, 202, 422][1 + number % 5], ['', '', 'conflict', 'unknown_status', 'missing'][1 + number % 5]
FROM numbers(1000);

INSERT INTO attempts (attempt_id, delivery_id, postback_id, owner, partner_id, advertiser_id, offer_id, link_id, lead_id, click_id, txid, action, event, status, country, device, method, url, outcome, error_kind, attempt, response_code, started_at, queued_us, dns_us, connect_us, tls_us, first_byte_us, total_us, node_id)
WITH number % 6 AS kind, 1 + intDiv(number, 6) % 2 AS side
SELECT generateUUIDv4(), generateUUIDv4(), toUUID('00000000-0000-7000-8000-0000000000d' || toString(side)), 'partner',
    toUUID('00000000-0000-7000-8000-0000000000a' || toString(side)),
    toUUID('00000000-0000-7000-8000-0000000000b' || toString(side)),
    toUUID('00000000-0000-7000-8000-0000000000c' || toString(side)),
    generateUUIDv4(), generateUUIDv4(), generateUUIDv4(), 't' || toString(number), 'sale', 'sale', 'hold', 'DE', 'mobile', 'GET',
    if(kind = 5, '', ['http://one.example/p', 'http://two.example/p'][side]),
    ['delivered', 'delivered', 'delivered', 'retrying', 'failed', 'skipped'][1 + kind],
    ['none', 'none', 'none', 'timeout', 'status', 'none'][1 + kind], [1, 1, 2, 1, 3, 1][1 + kind],
    [200, 204, 200, 0, 404, 0][1 + kind], now64(6) - toIntervalSecond(number * 10), 1000 + number, 200, 300, 400, if(kind = 3, 0, 20000), 30000 + number,
    toUUID('00000000-0000-7000-8000-00000000000e')
FROM numbers(2000);

-- A third host that takes nothing.
INSERT INTO attempts (attempt_id, delivery_id, postback_id, owner, partner_id, advertiser_id, offer_id, link_id, click_id, txid, event, method, url, outcome, error_kind, attempt, started_at, node_id)
SELECT generateUUIDv4(), generateUUIDv4(), '00000000-0000-7000-8000-0000000000d3', 'platform', '00000000-0000-7000-8000-0000000000a1',
    '00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-0000000000c1', generateUUIDv4(), generateUUIDv4(), 'x', 'sale', 'GET',
    'http://dead.example/p', 'retrying', 'connect', 1, now64(6) - toIntervalSecond(number * 60), '00000000-0000-7000-8000-00000000000e'
FROM numbers(30);
