//! GraphQL, and what whoever keeps the server running needs.

use super::*;

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
                answer("408", "The body took too long to arrive.", Content::Json("GraphqlResult")),
                answer(
                    "429",
                    "Too many requests of this address had no live token.",
                    Content::Json("GraphqlResult"),
                ),
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
