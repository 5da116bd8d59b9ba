INSERT INTO clicks (click_id, link_id, offer_id, partner_id, advertiser_id, partner_clickid,
                    sub1, sub2, sub3, sub4, sub5,
                    ip, user_agent, referrer, country, device, parameters, clicked_at, tracker)
SELECT click_id, link_id, offer_id, partner_id, advertiser_id, partner_clickid,
       sub1, sub2, sub3, sub4, sub5,
       ip, user_agent, referrer, country, device, parameters::jsonb, clicked_at, tracker
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
            $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::timestamptz[], $19::text[])
     AS click(click_id, link_id, offer_id, partner_id, advertiser_id, partner_clickid,
              sub1, sub2, sub3, sub4, sub5,
              ip, user_agent, referrer, country, device, parameters, clicked_at, tracker)
