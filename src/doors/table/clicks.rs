//! A partner's visitor arrives.

use super::*;

const CLICK_ANSWERS: &[Answer] = &[
    answer("200", "With `format=json`: the click id and the landing URL.", Content::Click),
    answer("302", "The visitor goes on to the landing URL; the click is recorded.", Content::Redirect),
    answer("400", "The query cannot be read.", REFUSED),
    answer("404", "The link does not exist.", REFUSED),
    NOT_RECORDED,
];

const LOOK_ANSWERS: &[Answer] = &[
    answer("302", "The landing URL, with the macros of a visit empty.", Content::Redirect),
    answer("400", "The query cannot be read.", Content::None),
    answer("404", "The link does not exist.", Content::None),
];

pub const CLICK_BY_PATH: Door = Door {
    path: "/click/{link}",
    ways: &[
        Way {
            method: "GET",
            operation: "click",
            group: Group::Clicks,
            summary: "The universal link: record a click and send the visitor on",
            description: "Any further parameter is kept with the click.",
            takes: &[Takes::Click],
            answers: CLICK_ANSWERS,
        },
        Way {
            method: "HEAD",
            operation: "clickLook",
            group: Group::Clicks,
            summary: "Where the link leads; no click is recorded",
            description: "",
            takes: &[Takes::Click],
            answers: LOOK_ANSWERS,
        },
    ],
};

pub const CLICK_BY_QUERY: Door = Door {
    path: "/click",
    ways: &[
        Way {
            method: "GET",
            operation: "clickByQuery",
            group: Group::Clicks,
            summary: "The same, with the link as a parameter",
            description: "Any further parameter is kept with the click.",
            takes: &[Takes::Link, Takes::Click],
            answers: CLICK_ANSWERS,
        },
        Way {
            method: "HEAD",
            operation: "clickByQueryLook",
            group: Group::Clicks,
            summary: "Where the link leads; no click is recorded",
            description: "",
            takes: &[Takes::Link, Takes::Click],
            answers: LOOK_ANSWERS,
        },
    ],
};
