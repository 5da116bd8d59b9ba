-- Sending again: what a postback's request was at the time, resends and late postbacks as jobs,
-- and deliveries that somebody has cancelled.

-- Counts the changes of what its requests are made from.
ALTER TABLE postbacks ADD COLUMN revision integer NOT NULL DEFAULT 1;

-- What a postback's requests are made from. Not in it: how and whether it is sent, how it is
-- signed, and secrets: only those of today are ever used.
CREATE FUNCTION postback_request(settings jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, value), '{}')
    FROM jsonb_each(settings)
    WHERE key NOT LIKE '%secret%' AND key NOT LIKE '%pause%' AND key NOT LIKE 'signing%'
      AND key NOT IN ('revision', 'created_at', 'deleted_at', 'events', 'condition', 'max_in_flight', 'rate_per_second',
                      'burst', 'timeout_ms', 'retry_schedule_ms', 'max_attempts', 'retry_after_cap_ms')
$$;

CREATE TABLE postback_revisions (
    postback_id uuid NOT NULL REFERENCES postbacks,
    revision    integer NOT NULL,
    -- Columns of `postbacks`, as they were.
    settings    jsonb NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (postback_id, revision)
);
INSERT INTO postback_revisions (postback_id, revision, settings)
SELECT postback_id, revision, postback_request(to_jsonb(postbacks)) FROM postbacks;

CREATE FUNCTION count_postback_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF postback_request(to_jsonb(NEW)) IS DISTINCT FROM postback_request(to_jsonb(OLD)) THEN
        NEW.revision := OLD.revision + 1;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER revision_counted BEFORE UPDATE ON postbacks
    FOR EACH ROW EXECUTE FUNCTION count_postback_revision();

CREATE FUNCTION keep_postback_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.revision <> OLD.revision THEN
        -- Columns that came into the table after that revision was kept: until now they held this.
        UPDATE postback_revisions SET settings = postback_request(to_jsonb(OLD)) || settings
        WHERE postback_id = OLD.postback_id AND revision = OLD.revision;
    END IF;
    INSERT INTO postback_revisions (postback_id, revision, settings)
    VALUES (NEW.postback_id, NEW.revision, postback_request(to_jsonb(NEW)))
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER revision_kept AFTER INSERT OR UPDATE ON postbacks
    FOR EACH ROW EXECUTE FUNCTION keep_postback_revision();

ALTER TABLE deliveries
    -- The first delivery of the same event to the same postback, where this one is a resend.
    ADD COLUMN resent_from     uuid,
    -- 0 for the first delivery, 1 for its first resend, and so on.
    ADD COLUMN resend_number   integer NOT NULL DEFAULT 0,
    ADD COLUMN job_id          uuid,
    -- Set: it is sent as this revision of its postback says, not as that of today.
    ADD COLUMN pinned_revision integer,
    -- The revision it was last sent with.
    ADD COLUMN sent_revision   integer;
CREATE INDEX deliveries_by_origin ON deliveries (resent_from) WHERE resent_from IS NOT NULL;

ALTER TABLE deliveries_finished
    ADD COLUMN resent_from   uuid,
    ADD COLUMN resend_number integer NOT NULL DEFAULT 0,
    ADD COLUMN job_id        uuid,
    -- NULL: it was never sent, or before revisions were kept.
    ADD COLUMN sent_revision integer,
    DROP CONSTRAINT IF EXISTS deliveries_finished_state_check,
    ADD CONSTRAINT deliveries_finished_state_check
        CHECK (state IN ('delivered', 'failed', 'skipped', 'cancelled')),
    -- What is cancelled may never have been tried.
    DROP CONSTRAINT IF EXISTS deliveries_finished_attempts_check,
    ADD CONSTRAINT deliveries_finished_attempts_check
        CHECK (attempts >= 0 AND (attempts > 0 OR state IN ('skipped', 'cancelled')));
CREATE INDEX deliveries_finished_by_origin ON deliveries_finished (resent_from) WHERE resent_from IS NOT NULL;
-- Who looks for trouble, or for their own, reads the newest of it.
CREATE INDEX deliveries_finished_undelivered ON deliveries_finished (state, delivery_id) WHERE state <> 'delivered';
CREATE INDEX deliveries_finished_by_postback ON deliveries_finished (postback_id, delivery_id);

-- Many deliveries made by one wish: resends, and late postbacks. A node works at a job under a
-- lease; whoever saves its progress must show the same `fence`.
CREATE TABLE delivery_jobs (
    job_id          uuid PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('resend', 'send_past')),
    state           text NOT NULL
        CHECK (state IN ('planned', 'running', 'paused', 'done', 'cancelled', 'failed')),
    -- Which deliveries or conversions: a filter of the log, ids, or a postback and a time.
    selection       jsonb NOT NULL,
    request         text NOT NULL CHECK (request IN ('original', 'current')),
    rate_per_second integer NOT NULL CHECK (rate_per_second > 0),
    -- What its maker may see; neither: everything.
    advertiser_id   uuid,
    partner_id      uuid,
    actor_token_id  uuid,
    actor_role      text NOT NULL,
    created_at      timestamptz NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz,
    -- How many it will look at, as far as was known at first.
    expected        bigint,
    matched         bigint NOT NULL DEFAULT 0,
    made            bigint NOT NULL DEFAULT 0,
    -- Waiting deliveries that were only made due.
    hastened        bigint NOT NULL DEFAULT 0,
    -- Reasons to counts.
    skipped         jsonb NOT NULL DEFAULT '{}',
    -- The last id that was dealt with.
    cursor          uuid,
    -- What its rate has allowed until now was used up at this time.
    paced_until     timestamptz NOT NULL,
    -- What it waits for, or why it failed.
    note            text NOT NULL DEFAULT '',
    claimed_by      uuid,
    lease_until     timestamptz,
    fence           bigint NOT NULL DEFAULT 0,
    CONSTRAINT a_claim_has_a_lease CHECK ((claimed_by IS NULL) = (lease_until IS NULL)),
    CONSTRAINT one_scope CHECK (num_nonnulls(advertiser_id, partner_id) <= 1)
);
CREATE INDEX delivery_jobs_by_time ON delivery_jobs (created_at, job_id);
CREATE INDEX delivery_jobs_to_do ON delivery_jobs (created_at) WHERE state IN ('planned', 'running');
