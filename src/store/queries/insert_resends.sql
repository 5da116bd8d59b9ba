INSERT INTO deliveries (delivery_id, postback_id, change_id, event, lead_id, attempt, next_attempt_at, fence,
                        created_at, resent_from, resend_number, job_id, pinned_revision,
                        sent_names)
SELECT wish.new_id, source.postback_id, source.change_id, source.event, source.lead_id, 0, $5::timestamptz, 0,
       $5::timestamptz, wish.first_id,
       1 + greatest(
           0,
           (SELECT max(resend_number) FROM deliveries WHERE resent_from = wish.first_id),
           (SELECT max(resend_number) FROM deliveries_finished WHERE resent_from = wish.first_id)
       ),
       $6::uuid, wish.pinned_revision,
       -- As it was sent, it tells the names of then.
       CASE WHEN wish.pinned_revision IS NOT NULL THEN source.sent_names END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[]) AS wish(new_id, source_id, first_id, pinned_revision)
JOIN deliveries_finished AS source ON source.delivery_id = wish.source_id
-- In the queue or finished: one statement sees it in exactly one of the two.
WHERE NOT EXISTS (SELECT FROM deliveries
                  WHERE deliveries.delivery_id = ANY($1) AND deliveries.delivery_id = wish.new_id)
  AND NOT EXISTS (SELECT FROM deliveries_finished WHERE deliveries_finished.delivery_id = wish.new_id)
ON CONFLICT (delivery_id) DO NOTHING
RETURNING delivery_id
