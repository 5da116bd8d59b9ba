//! Attempts in the order they began, as a stream: what a live tail shows of the past.

use chrono::{DateTime, Utc};
use clickhouse::query::RowCursor;

use super::attempts::{AttemptFilter, AttemptRecord, search_of};
use super::fetch::begin_rows;
use crate::event_log::EventLog;
use crate::graphql::scope::Scope;

/// What ClickHouse is told to stop after; a slow reader keeps it waiting, and this counts.
const MAX_EXECUTION_SECONDS: &str = "150";

/// Attempts in scope begun at `since` or later, oldest first: the first, and the rest. What is read
/// ahead is bounded by the
/// connection's buffers.
pub async fn attempts_since(
    log: &EventLog,
    scope: Scope,
    filter: &AttemptFilter,
    since: DateTime<Utc>,
) -> Result<(Option<AttemptRecord>, RowCursor<AttemptRecord>), clickhouse::error::Error> {
    let mut search = search_of(scope, filter);
    search.not_before(since);
    let query = search
        .statement(log, "SELECT ?fields", " ORDER BY started_at, attempt_id")
        .with_setting("max_execution_time", MAX_EXECUTION_SECONDS);
    begin_rows(query).await
}
