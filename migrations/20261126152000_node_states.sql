-- A node that is stopping keeps its lease until what it has under way is recorded, and has no share
-- of any destination meanwhile. One that has left is dead at once, whatever claims it left behind.
ALTER TABLE nodes
    ADD COLUMN state text NOT NULL DEFAULT 'serving' CHECK (state IN ('serving', 'leaving', 'left')),
    -- When claims of it were last taken over: those deliveries are due again, before where the
    -- other nodes read.
    ADD COLUMN rescued_at timestamptz;
