-- Takes the columns of insert_conversions.sql; what a lead is about never changes, so most of
-- them are only read past.
UPDATE conversions
SET customer_id = lead.customer_id, status = lead.status, amount = lead.amount, currency = lead.currency,
    payout = lead.payout, payout_currency = lead.payout_currency, comment = lead.comment,
    fields = lead.fields::jsonb, updated_at = $21::timestamptz
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
            $9::uuid[], $10::text[], $11::text[], $12::text[], $13::numeric[], $14::text[], $15::numeric[],
            $16::text[], $17::text[], $18::text[], $19::boolean[], $20::boolean[], $22::timestamptz[], $23::text[])
     AS lead(lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action, action_kind,
             click_id, request_id, customer_id, status, amount, currency, payout, payout_currency,
             comment, fields, is_test, is_once_per_click, occurred_at, kind_event)
WHERE conversions.lead_id = lead.lead_id
