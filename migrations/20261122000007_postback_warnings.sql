-- How destinations are doing, over all nodes, and what their owners have been told of it.

-- A row is written where something has changed, and every few seconds while attempts fail; a
-- destination that has never failed has none.
CREATE TABLE postback_health (
    postback_id          uuid PRIMARY KEY REFERENCES postbacks,
    -- When the first attempt failed after which none has succeeded. NULL: it is well.
    failing_since        timestamptz,
    consecutive_failures bigint NOT NULL DEFAULT 0 CHECK (consecutive_failures >= 0),
    last_success_at      timestamptz,
    last_failure_at      timestamptz,
    last_error           text NOT NULL DEFAULT '',
    -- Warnings given since it began to fail: 1 after the first time, 2 after the second.
    warnings             smallint NOT NULL DEFAULT 0 CHECK (warnings BETWEEN 0 AND 2),
    -- When somebody was last told that a delivery was given up.
    gave_up_told_at      timestamptz,
    -- Why it was paused by itself, until that has been told.
    untold_pause         text,
    CONSTRAINT only_what_fails_is_warned_of CHECK (failing_since IS NOT NULL OR warnings = 0)
) WITH (fillfactor = 50);
CREATE INDEX postback_health_to_look_at ON postback_health (postback_id)
    WHERE failing_since IS NOT NULL OR untold_pause IS NOT NULL;

-- A pause that gives a reason was nobody's hand. Through jsonb, so that this does not care
-- whether postbacks can give one yet.
CREATE FUNCTION note_pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO postback_health (postback_id, untold_pause)
    SELECT NEW.postback_id, reason FROM (SELECT to_jsonb(NEW) ->> 'paused_reason') AS pause(reason)
    WHERE reason IS NOT NULL
    ON CONFLICT (postback_id) DO UPDATE SET untold_pause = excluded.untold_pause;
    RETURN NULL;
END $$;
CREATE TRIGGER paused_by_itself AFTER UPDATE ON postbacks
    FOR EACH ROW
    WHEN (NEW.is_paused AND NOT OLD.is_paused)
    EXECUTE FUNCTION note_pause();

-- What happens to a destination is about no lead.
ALTER TABLE conversion_history
    DROP CONSTRAINT about_someone,
    ADD CONSTRAINT about_someone CHECK (
        num_nonnulls(lead_id, customer_id) >= 1
        OR events <@ ARRAY['click', 'destination_failing', 'destination_recovered', 'destination_paused']
    );
