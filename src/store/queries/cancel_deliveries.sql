WITH chosen AS (
    SELECT delivery_id FROM deliveries
    -- By their keys, and not through the index of what is due: see finish_deliveries.
    WHERE delivery_id = ANY($1) AND num_nonnulls(claimed_by) = 0
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM deliveries USING chosen
    WHERE deliveries.delivery_id = ANY($1) AND deliveries.delivery_id = chosen.delivery_id
    RETURNING deliveries.*
), finished AS (
    INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason, attempts,
                                     created_at, finished_at, resent_from, resend_number, job_id, sent_revision,
                                     sent_names)
    SELECT delivery_id, postback_id, change_id, event, lead_id, 'cancelled', $2, attempt,
           created_at, $3::timestamptz, resent_from, resend_number, job_id, sent_revision, sent_names
    FROM gone
)
-- The row in the log has the number that the next attempt would have had.
SELECT gone.delivery_id, gone.postback_id, gone.event, gone.attempt + 1 AS attempt, gone.fence,
       gone.next_attempt_at, gone.pinned_revision, gone.is_unjudged, facts,
       partner_id IS NOT NULL AS is_partners, advertiser_id IS NOT NULL AS is_advertisers
FROM gone JOIN conversion_history USING (change_id) JOIN postbacks USING (postback_id)
