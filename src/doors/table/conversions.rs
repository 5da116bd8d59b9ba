//! An advertiser's server reports what happened.

use super::*;

const MAPPED_ANSWERS: &[Answer] = &[
    answer("200", "Recorded, a repeat, or a conflict that the body tells of.", Content::Json("Success")),
    answer("202", "The status word is unknown; the conversion is kept.", Content::Json("Quarantined")),
    answer("400", "The query or body cannot be read.", REFUSED),
    answer("401", "The integration's secret or the signature is missing or wrong.", REFUSED),
    NOT_ALLOWED,
    answer("404", "There is no integration at this address.", REFUSED),
    TOO_LARGE,
    answer("422", "Fields are missing or wrong; every fault is named.", REFUSED),
    TOO_MANY,
    NOT_RECORDED,
];

const CONVERSION_ANSWERS: &[Answer] = &[
    answer("200", "Recorded, a repeat, or a conflict that the body tells of.", Content::Json("Success")),
    answer("202", "The status word is unknown; the conversion is kept.", Content::Json("Quarantined")),
    answer("400", "The query or body cannot be read.", REFUSED),
    UNKNOWN_KEY,
    NOT_ALLOWED,
    answer("409", "A conflict, where strict handling was asked for.", Content::Json("Success")),
    TOO_LARGE,
    answer("422", "Fields are missing or wrong; every fault is named.", REFUSED),
    TOO_MANY,
    NOT_RECORDED,
];

pub const CONVERSIONS: Door = Door {
    path: "/api/v1/conversions",
    ways: &[Way {
        method: "POST",
        operation: "reportConversions",
        group: Group::Conversions,
        summary: "Report one conversion, an array, or a stream of lines",
        description: "A missing action is the offer's only or default one; a missing request_id is derived \
                      from click, action and, for a repeatable action, datetime. docs/doors/conversions-api.md",
        takes: &[Takes::ApiKey, Takes::Strict, Takes::ConversionItems],
        answers: &[
            answer(
                "200",
                "The answer of the one conversion, or a result for every item in order.",
                Content::Results,
            ),
            answer(
                "202",
                "One conversion with an unknown status word; it is kept.",
                Content::Json("Quarantined"),
            ),
            answer("400", "The query or body cannot be read.", REFUSED),
            UNKNOWN_KEY,
            answer(
                "409",
                "One conversion in conflict, where strict handling was asked for.",
                Content::Json("Success"),
            ),
            TOO_LARGE,
            answer("422", "One conversion whose fields are missing or wrong.", REFUSED),
            answer("503", "Of one item or more nothing was recorded; send all again.", Content::Results),
        ],
    }],
};

pub const S2S: Door = Door {
    path: "/{api_key}/s2s",
    ways: &[
        Way {
            method: "GET",
            operation: "reportByQuery",
            group: Group::Conversions,
            summary: "Report one conversion in the query string",
            description: "HOQU-compatible. docs/doors/s2s.md",
            takes: &[Takes::Strict, Takes::ConversionQuery],
            answers: CONVERSION_ANSWERS,
        },
        Way {
            method: "POST",
            operation: "reportByBody",
            group: Group::Conversions,
            summary: "Report one conversion as form or JSON",
            description: "HOQU-compatible. Parameters of the query string count too. docs/doors/s2s.md",
            takes: &[Takes::Strict, Takes::ConversionBody],
            answers: CONVERSION_ANSWERS,
        },
    ],
};

pub const INTEGRATION: Door = Door {
    path: "/in/{integration_id}",
    ways: &[
        Way {
            method: "GET",
            operation: "reportMappedByQuery",
            group: Group::Conversions,
            summary: "Report one conversion in a foreign system's own names in the query string",
            description: "Names, words and the answer are the integration's own; what stands here is answered \
                          where it sets none. docs/integrations.md",
            takes: &[Takes::Secret, Takes::ForeignQuery],
            answers: MAPPED_ANSWERS,
        },
        Way {
            method: "POST",
            operation: "reportMappedByBody",
            group: Group::Conversions,
            summary: "Report one conversion in a foreign system's own names as form or JSON",
            description: "Names, words and the answer are the integration's own; what stands here is answered \
                          where it sets none. docs/integrations.md",
            takes: &[Takes::Secret, Takes::ForeignBody],
            answers: MAPPED_ANSWERS,
        },
    ],
};

pub const CHATTERFY: Door = Door {
    path: "/api/postbacks/{integration_id}/tracker-postback",
    ways: &[
        Way {
            method: "GET",
            operation: "reportChatterfyByQuery",
            group: Group::Conversions,
            summary: "Report one conversion as Chatterfy does in the query string",
            description: "tracker.event, clickid, tracker.cost, tracker.currency, tracker.tid and fields.NAME. \
                          docs/integrations.md",
            takes: &[Takes::Secret, Takes::ChatterfyQuery],
            answers: MAPPED_ANSWERS,
        },
        Way {
            method: "POST",
            operation: "reportChatterfyByBody",
            group: Group::Conversions,
            summary: "Report one conversion as Chatterfy does as form or JSON",
            description: "tracker.event, clickid, tracker.cost, tracker.currency, tracker.tid and fields.NAME. \
                          docs/integrations.md",
            takes: &[Takes::Secret, Takes::ForeignBody],
            answers: MAPPED_ANSWERS,
        },
    ],
};
