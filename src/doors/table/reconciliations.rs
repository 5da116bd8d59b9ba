//! An advertiser's file is taken in and judged, shown, and applied.

use super::*;

const UNKNOWN_CALLER: Answer = answer("401", "Neither an API key nor a token is known.", REFUSED);
const NOT_YOURS: Answer = answer("403", "A token of a partner or of BI does not reconcile.", REFUSED);
const NO_FILE: Answer =
    answer("404", "There is no such reconciliation, or it is more than 30 days old.", REFUSED);
const NO_ADVERTISER: Answer = answer("400", "An owner's token needs `advertiser_id`.", REFUSED);
const AWAY: Answer =
    answer("503", "PostgreSQL is away or the queue is full; send the same request again.", REFUSED);

pub const RECONCILIATIONS: Door = Door {
    path: "/api/v1/reconciliations",
    ways: &[Way {
        method: "POST",
        operation: "reconcile",
        group: Group::Reconciliations,
        summary: "Take in an advertiser's file and show what it would change",
        description: "With mode=apply it is applied at once. docs/reconciliation.md",
        takes: &[Takes::ApiKeyOrToken, Takes::AdvertiserId, Takes::File],
        answers: &[
            answer("200", "The totals, and the first 100 rows that differ.", Content::Json("Reconciliation")),
            answer(
                "400",
                "A parameter is wrong, the form has no part `file`, or an owner's token names \
                           no advertiser.",
                REFUSED,
            ),
            UNKNOWN_CALLER,
            NOT_YOURS,
            answer("413", "More than 1 GiB or 2,000,000 rows.", REFUSED),
            answer("422", "The file cannot be read; nothing of it was kept.", REFUSED),
            AWAY,
        ],
    }],
};

pub const RECONCILIATION: Door = Door {
    path: "/api/v1/reconciliations/{reconciliation_id}",
    ways: &[Way {
        method: "GET",
        operation: "reconciliation",
        group: Group::Reconciliations,
        summary: "What a file comes to",
        description: "",
        takes: &[Takes::ApiKeyOrToken, Takes::AdvertiserId],
        answers: &[
            answer("200", "The totals, and the first 100 rows that differ.", Content::Json("Reconciliation")),
            NO_ADVERTISER,
            UNKNOWN_CALLER,
            NOT_YOURS,
            NO_FILE,
            AWAY,
        ],
    }],
};

pub const RECONCILIATION_ROWS: Door = Door {
    path: "/api/v1/reconciliations/{reconciliation_id}/rows",
    ways: &[Way {
        method: "GET",
        operation: "reconciliationRows",
        group: Group::Reconciliations,
        summary: "The rows of a file, in their order",
        description: "",
        takes: &[Takes::ApiKeyOrToken, Takes::AdvertiserId, Takes::RowPage],
        answers: &[
            answer("200", "A page of rows.", Content::Json("ReconciliationRows")),
            answer("400", "A parameter is wrong, or an owner's token names no advertiser.", REFUSED),
            UNKNOWN_CALLER,
            NOT_YOURS,
            NO_FILE,
            AWAY,
        ],
    }],
};

pub const RECONCILIATION_APPLY: Door = Door {
    path: "/api/v1/reconciliations/{reconciliation_id}/apply",
    ways: &[Way {
        method: "POST",
        operation: "applyReconciliation",
        group: Group::Reconciliations,
        summary: "Apply up to 5000 rows of what was shown",
        description: "Call it until none are `remaining`. What was applied before is not applied twice.",
        takes: &[Takes::ApiKeyOrToken, Takes::AdvertiserId],
        answers: &[
            answer("200", "The totals, without rows.", Content::Json("Reconciliation")),
            NO_ADVERTISER,
            UNKNOWN_CALLER,
            NOT_YOURS,
            NO_FILE,
            AWAY,
        ],
    }],
};
