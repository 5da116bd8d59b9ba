-- The action a conversion is of when its sender names none. An offer with one action needs none
-- marked.
ALTER TABLE actions ADD COLUMN is_default boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX actions_default ON actions (offer_id) WHERE is_default;
