-- The event of its kind that a conversion fired when it was new, such as ftd or redeposit: what its
-- kind alone does not say, and what conditions ask for when its status changes. NULL for what was
-- recorded before this was; the history says it then.
ALTER TABLE conversions ADD COLUMN kind_event text;
