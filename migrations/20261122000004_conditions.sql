-- Which events a postback lets through, and who is told of an offer's conversions.

-- CEL over the event's fields, such as payout >= 10; NULL: every event it has asked for.
ALTER TABLE postbacks ADD COLUMN condition text CHECK (condition <> '');

-- Whether an owner's postbacks of this offer (or of a link to it) replace its global ones, or are
-- told beside them.
ALTER TABLE offers ADD COLUMN offer_postbacks text NOT NULL DEFAULT 'join'
    CHECK (offer_postbacks IN ('join', 'replace'));
