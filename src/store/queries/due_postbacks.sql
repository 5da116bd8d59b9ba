-- Hops from postback to postback along the index. Those that are read from a position on ($1 to
-- $3, sorted by postback) are asked one by one from there; the hops go over the gaps between
-- them, so that they never touch what lies before such a position.
WITH RECURSIVE gaps AS (
    SELECT below.id AS lower_id, above.id AS upper_id
    FROM unnest('00000000-0000-0000-0000-000000000000'::uuid || $1::uuid[]) WITH ORDINALITY AS below(id, place)
    JOIN unnest($1::uuid[] || 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) WITH ORDINALITY AS above(id, place)
        USING (place)
    WHERE $4::boolean
), earliest AS (
    SELECT first.*, upper_id
    FROM gaps CROSS JOIN LATERAL (
        SELECT postback_id, next_attempt_at FROM deliveries
        WHERE claimed_by IS NULL AND postback_id > lower_id AND postback_id < upper_id
        ORDER BY postback_id, next_attempt_at LIMIT 1
    ) AS first
    UNION ALL
    SELECT following.*, upper_id
    FROM earliest CROSS JOIN LATERAL (
        SELECT postback_id, next_attempt_at FROM deliveries
        WHERE claimed_by IS NULL AND deliveries.postback_id > earliest.postback_id AND deliveries.postback_id < upper_id
        ORDER BY postback_id, next_attempt_at LIMIT 1
    ) AS following
)
SELECT postback_id FROM earliest WHERE next_attempt_at <= now()
UNION ALL
SELECT known.postback_id
FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS known(postback_id, due_at, delivery_id)
-- One by one, whatever statistics say: with nothing in the queues but what could not be cleared away yet, a
-- join would read all of that.
CROSS JOIN LATERAL (
    SELECT 1 FROM deliveries
    WHERE deliveries.postback_id = known.postback_id AND claimed_by IS NULL AND next_attempt_at <= now()
      AND (next_attempt_at, deliveries.delivery_id) > (known.due_at, known.delivery_id)
    ORDER BY next_attempt_at, deliveries.delivery_id LIMIT 1
) AS due
