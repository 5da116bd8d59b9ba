//! Logs as files.

use super::*;

pub const EXPORT: Door = Door {
    path: "/api/v1/export/{dataset}",
    ways: &[Way {
        method: "GET",
        operation: "export",
        group: Group::Exports,
        summary: "A log as CSV, NDJSON or Parquet, without a cap on its rows",
        description: "Streamed, oldest rows first; gzip where it is accepted. A file that ends early never ends \
                      cleanly: the connection breaks. docs/export.md",
        takes: &[Takes::Token, Takes::ExportFilter],
        answers: &[
            answer("200", "The file.", Content::File),
            answer("400", "A parameter is wrong or unknown; every fault is named.", REFUSED),
            answer("401", "The token is not known.", REFUSED),
            answer("404", "There is no such dataset.", REFUSED),
            answer("429", "All places for exports are taken, or too many requests came.", REFUSED),
            answer("503", "ClickHouse or PostgreSQL is away.", REFUSED),
        ],
    }],
};
