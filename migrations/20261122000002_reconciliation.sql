-- Reconciling a million rows.

-- What an advertiser's file should hold is found by advertiser and time.
CREATE INDEX conversions_by_advertiser ON conversions (advertiser_id, created_at, lead_id);

-- How far a file is, kept with its rows: to count them for each of the calls that apply it took
-- longer than to apply them.
CREATE TABLE reconciliation_counts (
    reconciliation_id uuid NOT NULL REFERENCES reconciliations ON DELETE CASCADE,
    result            text NOT NULL,
    -- What became of them; empty while they wait.
    applied           text NOT NULL,
    row_count         bigint NOT NULL,
    PRIMARY KEY (reconciliation_id, result, applied)
);
INSERT INTO reconciliation_counts (reconciliation_id, result, applied, row_count)
SELECT reconciliation_id, result, coalesce(reconciliation_rows.applied, ''), count(*)
FROM reconciliation_rows JOIN reconciliations USING (reconciliation_id)
WHERE state <> 'reading'
GROUP BY 1, 2, 3;
