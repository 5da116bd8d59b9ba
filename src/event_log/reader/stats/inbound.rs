//! Figures of inbound requests: how many, and what became of them.

use clickhouse::Row;
use serde::Deserialize;

use super::grouping::{Aggregation, GroupRow, Grouping, Question, Stats, group_row};
use crate::event_log::reader::InboundFilter;
use crate::event_log::reader::inbound::search_of;
use crate::graphql::scope::Scope;

#[derive(Debug, Clone, Default, Row, Deserialize)]
pub struct InboundFigures {
    pub group_keys: Vec<String>,
    /// Seconds since 1970; 0 without buckets.
    pub bucket_start: i64,
    pub request_count: u64,
    pub accepted_count: u64,
    pub duplicate_count: u64,
    pub conflict_count: u64,
    pub quarantined_count: u64,
    pub rejected_count: u64,
}
group_row!(InboundFigures);

const FIGURES: [(&str, &str); 6] = [
    ("request_count", "count()"),
    ("accepted_count", "countIf(verdict = 'accepted')"),
    ("duplicate_count", "countIf(verdict = 'duplicate')"),
    ("conflict_count", "countIf(verdict = 'conflict')"),
    ("quarantined_count", "countIf(verdict = 'quarantined')"),
    ("rejected_count", "countIf(verdict = 'rejected')"),
];

/// A question about requests in scope, as a filter finds them; `None` where the scope holds no
/// request at all.
pub fn inbound_stats(
    scope: Scope,
    filter: &InboundFilter,
    grouping: Grouping,
) -> Option<Stats<InboundFigures>> {
    let search = search_of(scope, filter)?;
    let part = Aggregation {
        table: search.table().name.to_owned(),
        conditions: search.conditions(),
        seconds: "toUnixTimestamp(received_at)",
        figures: FIGURES.map(|(name, figure)| (name, figure.to_owned())).to_vec(),
    };
    let question = Question { search, parts: vec![part], added: |name| format!("sum(part_{name})") };
    Some(Stats::of(question, grouping))
}
