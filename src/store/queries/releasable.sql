-- Three joins instead of one with OR, so that each goes by its own index of `quarantine`.
SELECT quarantine.*
FROM (
    SELECT inbound_id FROM quarantine WHERE decided_meaning IS NOT NULL
    UNION
    SELECT inbound_id FROM status_words JOIN quarantine USING (integration_id, word)
    UNION
    SELECT inbound_id FROM status_words JOIN quarantine USING (offer_id, word)
    UNION
    SELECT inbound_id FROM status_words JOIN quarantine USING (advertiser_id, word)
) AS ready
JOIN quarantine USING (inbound_id)
ORDER BY occurred_at, received_at, inbound_id
LIMIT $1
