SELECT conversions.*, last.facts AS last_facts, first.event AS first_event, partner_clickid, sub1, sub2, sub3, sub4, sub5, country, device, ip,
       user_agent
FROM conversions
LEFT JOIN clicks USING (click_id)
LEFT JOIN LATERAL (
    SELECT facts FROM conversion_history
    WHERE conversion_history.lead_id = conversions.lead_id
    ORDER BY change_id DESC LIMIT 1
) AS last ON true
-- Those that were recorded before kind_event was are looked up.
LEFT JOIN LATERAL (
    SELECT events[1] AS event FROM conversion_history
    WHERE conversion_history.lead_id = conversions.lead_id AND status_from IS NULL AND kind_event IS NULL
    LIMIT 1
) AS first ON true
WHERE conversions.lead_id = ANY($1)
ORDER BY conversions.created_at, conversions.lead_id
