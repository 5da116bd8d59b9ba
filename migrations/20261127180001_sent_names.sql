-- What a request called the offer, the partner and the advertiser of its event, where it did. Names are
-- those of the day: what is sent again as it was has those that it was sent with.

-- Of the last attempt; of a resend of an earlier request, before its first, those of that request.
ALTER TABLE deliveries ADD COLUMN sent_names jsonb;
ALTER TABLE deliveries_finished ADD COLUMN sent_names jsonb;
