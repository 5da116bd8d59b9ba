INSERT INTO destination_news AS news (postback_id, version, held_until, probe_at, openings, told_by, changed_at)
SELECT postback_id, nextval('destination_news_version'), now() + make_interval(secs => hold_s),
       now() + make_interval(secs => probe_in_s), openings, $1, clock_timestamp()
FROM unnest($2::uuid[], $3::double precision[], $4::double precision[], $5::integer[])
     AS telling(postback_id, hold_s, probe_in_s, openings)
-- In one order on every node: two writers never wait for each other in a circle.
ORDER BY postback_id
-- The version is drawn while the row is locked, so later ones are greater. The longest hold
-- stands; of the breaker, who spoke of it last is right.
ON CONFLICT (postback_id) DO UPDATE
SET version = nextval('destination_news_version'),
    held_until = greatest(news.held_until, excluded.held_until),
    is_lifted = news.is_lifted AND excluded.held_until IS NULL,
    probe_at = CASE WHEN excluded.openings IS NULL THEN news.probe_at ELSE excluded.probe_at END,
    openings = coalesce(excluded.openings, news.openings),
    told_by = excluded.told_by,
    changed_at = clock_timestamp()
