INSERT INTO conversions (lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action, action_kind,
                         click_id, request_id, customer_id, status, amount, currency, payout, payout_currency,
                         comment, fields, is_test, is_once_per_click, created_at, updated_at,
                         occurred_at, kind_event)
SELECT lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action, action_kind,
       click_id, request_id, customer_id, status, amount, currency, payout, payout_currency,
       comment, fields::jsonb, is_test, is_once_per_click, $21::timestamptz, $21::timestamptz,
       occurred_at, kind_event
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
            $9::uuid[], $10::text[], $11::text[], $12::text[], $13::numeric[], $14::text[], $15::numeric[],
            $16::text[], $17::text[], $18::text[], $19::boolean[], $20::boolean[], $22::timestamptz[], $23::text[])
     AS lead(lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action, action_kind,
             click_id, request_id, customer_id, status, amount, currency, payout, payout_currency,
             comment, fields, is_test, is_once_per_click, occurred_at, kind_event)
