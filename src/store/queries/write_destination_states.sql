INSERT INTO destination_states (postback_id, node_id, breaker, probe_at, held_until, in_flight, concurrency,
                                max_in_flight, rate_per_second, consecutive_failures, last_success_at,
                                last_failure_at, updated_at)
SELECT postback_id, $1, breaker, probe_at, held_until, in_flight, concurrency, max_in_flight, rate_per_second,
       consecutive_failures, last_success_at, last_failure_at, now()
FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::integer[], $7::integer[],
            $8::integer[], $9::double precision[], $10::integer[], $11::timestamptz[], $12::timestamptz[])
     AS found(postback_id, breaker, probe_at, held_until, in_flight, concurrency, max_in_flight, rate_per_second,
              consecutive_failures, last_success_at, last_failure_at)
-- In one order on every node and round: two writers never wait for each other in a circle.
ORDER BY postback_id
ON CONFLICT (postback_id, node_id) DO UPDATE
SET breaker = excluded.breaker, probe_at = excluded.probe_at, held_until = excluded.held_until,
    in_flight = excluded.in_flight, concurrency = excluded.concurrency, max_in_flight = excluded.max_in_flight,
    rate_per_second = excluded.rate_per_second, consecutive_failures = excluded.consecutive_failures,
    last_success_at = excluded.last_success_at, last_failure_at = excluded.last_failure_at,
    updated_at = excluded.updated_at
