-- What an advertiser's file should hold is found by advertiser and time.
CREATE INDEX conversions_by_advertiser ON conversions (advertiser_id, created_at, lead_id);
