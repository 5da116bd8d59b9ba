-- Written by a node that could not read its postback: whether the postback's condition lets it go is
-- for whoever sends it to judge.
ALTER TABLE deliveries ADD COLUMN is_unjudged boolean NOT NULL DEFAULT false;
