-- What people call a postback, and the preset it was made of. NULL: nothing was said; none.
ALTER TABLE postbacks ADD COLUMN name text, ADD COLUMN preset text;
