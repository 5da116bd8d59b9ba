-- What the nodes tell each other of destinations in trouble, so that one that asks to be left
-- alone is left alone by all, and one that is down is probed by one. A row each, written where
-- something changes; every node reads what is new twice a second. Each goes on by what it knows
-- where it cannot read.
CREATE SEQUENCE destination_news_version;
CREATE TABLE destination_news (
    postback_id uuid PRIMARY KEY,
    -- Grows with every change of the row: what a node has taken in already is not news.
    version     bigint NOT NULL,
    -- Retry-After: nothing is to be sent before.
    held_until  timestamptz,
    -- Somebody has said that it may be sent to all the same.
    is_lifted   boolean NOT NULL DEFAULT false,
    -- Set while the breaker is open: when the next probe may go.
    probe_at    timestamptz,
    -- How often it opened since it was well for a while. NULL: nobody has spoken of the breaker.
    openings    integer,
    told_by     uuid NOT NULL,
    changed_at  timestamptz NOT NULL,
    CONSTRAINT an_open_breaker_was_opened CHECK (probe_at IS NULL OR openings IS NOT NULL),
    CONSTRAINT a_lifted_hold_is_none CHECK (NOT is_lifted OR held_until IS NULL)
) WITH (fillfactor = 50);
