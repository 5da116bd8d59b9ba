-- How a partner packs several values into one parameter of a link: domain/composite.rs reads it.
ALTER TABLE links ADD COLUMN composite jsonb CHECK (jsonb_typeof(composite) = 'object');

-- The composite as it goes out again: decided at the click, whatever becomes of the link.
ALTER TABLE clicks ADD COLUMN tracker text NOT NULL DEFAULT '';
