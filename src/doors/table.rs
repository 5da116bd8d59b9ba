//! Every HTTP door: what it is for, what it takes, what it answers.
//!
//! The routes take their paths and methods from here, and `openapi.json` is written from here.
//! No generator over typed handlers (such as utoipa) fits: the fields of a conversion have many
//! names each and come in four encodings, and [`crate::domain::fields::NAMES`] is their one truth.

/// One path and what it can be asked.
#[derive(Debug)]
pub struct Door {
    /// As OpenAPI and actix-web both write it.
    pub path: &'static str,
    pub ways: &'static [Way],
}

/// One method of a door.
#[derive(Debug)]
pub struct Way {
    pub method: &'static str,
    /// Unique over all doors; clients are generated with it as a name.
    pub operation: &'static str,
    pub group: Group,
    pub summary: &'static str,
    pub description: &'static str,
    pub takes: &'static [Takes],
    pub answers: &'static [Answer],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Conversions,
    Browser,
    Clicks,
    Graphql,
    Operations,
}

/// Something a door reads, besides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// `Authorization: Bearer {api key}`.
    ApiKey,
    /// `Authorization: Bearer {token}`.
    Token,
    /// The fields of a conversion, as query parameters.
    ConversionQuery,
    /// The same of a browser, which may bring its click id in a cookie.
    BrowserQuery,
    /// A conversion as JSON or form.
    ConversionBody,
    /// A conversion, an array or a stream of them.
    ConversionItems,
    /// `strict=1` and `Prefer: handling=strict`.
    Strict,
    Click,
    /// `link`, where it is not in the path.
    Link,
    GraphqlBody,
    IfNoneMatch,
}

#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub status: &'static str,
    pub description: &'static str,
    pub content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    None,
    /// A schema of `components`, as JSON.
    Json(&'static str),
    /// What the Conversions API answers: by kind of body.
    Results,
    Redirect,
    Gif,
    Html,
    Script,
    Text,
    Click,
}

impl Door {
    /// The methods, as the header `Allow` lists them.
    pub fn allowed(&self) -> String {
        self.ways.iter().map(|way| way.method).collect::<Vec<_>>().join(", ")
    }
}

const fn answer(status: &'static str, description: &'static str, content: Content) -> Answer {
    Answer { status, description, content }
}

const REFUSED: Content = Content::Json("Error");
const NOT_RECORDED: Answer =
    answer("503", "Nothing was recorded: PostgreSQL is away or the queue is full. Send it again.", REFUSED);
const TOO_LARGE: Answer = answer("413", "More was sent than is taken at once.", REFUSED);
const UNKNOWN_KEY: Answer =
    answer("401", "The API key is not known, or the signature is missing or wrong.", REFUSED);
const NOT_ALLOWED: Answer = answer("403", "The source address is not on the allowlist.", REFUSED);
const TOO_MANY: Answer = answer("429", "Too many requests; `Retry-After` says when to come again.", REFUSED);

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

const BROWSER_ANSWERS: &[Answer] = &[
    answer("200", "Always, whatever the verdict in `x-ricochet-verdict` is.", Content::Gif),
    answer("503", "Nothing was recorded; the picture comes all the same.", Content::Gif),
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
            takes: &[],
            answers: MAPPED_ANSWERS,
        },
        Way {
            method: "POST",
            operation: "reportMappedByBody",
            group: Group::Conversions,
            summary: "Report one conversion in a foreign system's own names as form or JSON",
            description: "Names, words and the answer are the integration's own; what stands here is answered \
                          where it sets none. docs/integrations.md",
            takes: &[],
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
            takes: &[],
            answers: MAPPED_ANSWERS,
        },
        Way {
            method: "POST",
            operation: "reportChatterfyByBody",
            group: Group::Conversions,
            summary: "Report one conversion as Chatterfy does as form or JSON",
            description: "tracker.event, clickid, tracker.cost, tracker.currency, tracker.tid and fields.NAME. \
                          docs/integrations.md",
            takes: &[],
            answers: MAPPED_ANSWERS,
        },
    ],
};

pub const PIXEL: Door = Door {
    path: "/pixel/{offer}.gif",
    ways: &[Way {
        method: "GET",
        operation: "reportByPixel",
        group: Group::Browser,
        summary: "Report a hold from a browser, answered with a transparent GIF",
        description: "Needs no key, so it only ever makes a hold. docs/doors/pixel-and-iframe.md",
        takes: &[Takes::BrowserQuery],
        answers: BROWSER_ANSWERS,
    }],
};

pub const IFRAME: Door = Door {
    path: "/iframe/{offer}",
    ways: &[Way {
        method: "GET",
        operation: "reportByIframe",
        group: Group::Browser,
        summary: "Report a hold from a browser, answered with an empty page",
        description: "The pixel for sites that embed frames. docs/doors/pixel-and-iframe.md",
        takes: &[Takes::BrowserQuery],
        answers: &[
            answer("200", "Always, whatever the verdict in `x-ricochet-verdict` is.", Content::Html),
            answer("503", "Nothing was recorded; the page comes all the same.", Content::Html),
        ],
    }],
};

pub const SCRIPT: Door = Door {
    path: "/ricochet.js",
    ways: &[Way {
        method: "GET",
        operation: "clickScript",
        group: Group::Browser,
        summary: "The script that keeps the click id on the advertiser's site",
        description: "docs/doors/click-script.md",
        takes: &[Takes::IfNoneMatch],
        answers: &[
            answer("200", "The script, for an hour.", Content::Script),
            answer("304", "The script has not changed.", Content::None),
        ],
    }],
};

pub const VERSIONED_SCRIPT: Door = Door {
    path: "/js/ricochet-{hash}.js",
    ways: &[Way {
        method: "GET",
        operation: "versionedClickScript",
        group: Group::Browser,
        summary: "One version of the click script, to be kept for ever",
        description: "The hash is the start of the script's SHA-256 and stands in the ETag of /ricochet.js.",
        takes: &[Takes::IfNoneMatch],
        answers: &[
            answer("200", "The script.", Content::Script),
            answer("302", "Another version: the present one is at /ricochet.js.", Content::Redirect),
            answer("304", "The script has not changed.", Content::None),
        ],
    }],
};

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

pub const GRAPHQL: Door = Door {
    path: "/graphql",
    ways: &[
        Way {
            method: "GET",
            operation: "graphiql",
            group: Group::Graphql,
            summary: "GraphiQL, a page to try queries on",
            description: "",
            takes: &[],
            answers: &[answer("200", "The page, or how to get it.", Content::Html)],
        },
        Way {
            method: "POST",
            operation: "graphql",
            group: Group::Graphql,
            summary: "Logs, timings, conversions, and everything a cabinet needs",
            description: "The schema is in graphql/schema.graphql, runnable queries are in graphql/examples/.",
            takes: &[Takes::Token, Takes::GraphqlBody],
            answers: &[
                answer("200", "The result, or GraphQL errors.", Content::Json("GraphqlResult")),
                answer("400", "The body cannot be read.", Content::Json("GraphqlResult")),
                answer("401", "The token is not known.", Content::Json("GraphqlResult")),
                answer("503", "PostgreSQL is away.", Content::Json("GraphqlResult")),
            ],
        },
    ],
};

pub const HEALTHZ: Door = Door {
    path: "/healthz",
    ways: &[Way {
        method: "GET",
        operation: "healthz",
        group: Group::Operations,
        summary: "The process lives",
        description: "",
        takes: &[],
        answers: &[answer("200", "It does.", Content::Json("Health"))],
    }],
};

pub const READYZ: Door = Door {
    path: "/readyz",
    ways: &[Way {
        method: "GET",
        operation: "readyz",
        group: Group::Operations,
        summary: "PostgreSQL is reachable and migrated",
        description: "ClickHouse is told of but not required.",
        takes: &[],
        answers: &[
            answer("200", "Ready.", Content::Json("Health")),
            answer("503", "Not ready, or stopping.", Content::Json("Health")),
        ],
    }],
};

pub const METRICS: Door = Door {
    path: "/metrics",
    ways: &[Way {
        method: "GET",
        operation: "metrics",
        group: Group::Operations,
        summary: "Prometheus metrics",
        description: "",
        takes: &[],
        answers: &[answer("200", "Metrics in the text format.", Content::Text)],
    }],
};

pub const OPENAPI: Door = Door {
    path: "/openapi.json",
    ways: &[Way {
        method: "GET",
        operation: "openapi",
        group: Group::Operations,
        summary: "This document",
        description: "",
        takes: &[],
        answers: &[answer("200", "OpenAPI 3.1.", Content::Json("OpenApi"))],
    }],
};

/// All doors, in the order they are described.
pub const DOORS: &[&Door] = &[
    &CONVERSIONS,
    &S2S,
    &INTEGRATION,
    &CHATTERFY,
    &PIXEL,
    &IFRAME,
    &SCRIPT,
    &VERSIONED_SCRIPT,
    &CLICK_BY_PATH,
    &CLICK_BY_QUERY,
    &GRAPHQL,
    &HEALTHZ,
    &READYZ,
    &METRICS,
    &OPENAPI,
];
