//! How long attempts took, step by step.

use clickhouse::Row;
use serde::Deserialize;

use super::grouping::{GroupRow, Grouping, Stats, group_row};
use super::postbacks::question;
use super::source::AttemptFigure;
use crate::event_log::reader::AttemptFilter;
use crate::event_log::reader::attempts::search_of;
use crate::graphql::scope::Scope;

/// Number of attempts that had the step, sum and most of its microseconds, and its p50, p90, p95
/// and p99.
pub type Times = (u64, u64, u64, Vec<f64>);

#[derive(Debug, Clone, Default, Row, Deserialize)]
pub struct TimingFigures {
    pub group_keys: Vec<String>,
    /// Seconds since 1970; 0 without buckets.
    pub bucket_start: i64,
    pub attempt_count: u64,
    pub queued_times: Times,
    pub dns_times: Times,
    pub connect_times: Times,
    pub tls_times: Times,
    pub first_byte_times: Times,
    pub total_times: Times,
}

group_row!(TimingFigures);

const FIGURES: [AttemptFigure; 7] = [
    AttemptFigure::Attempts,
    AttemptFigure::Queued,
    AttemptFigure::Dns,
    AttemptFigure::Connect,
    AttemptFigure::Tls,
    AttemptFigure::FirstByte,
    AttemptFigure::Total,
];

/// A question about the timings of attempts in scope, as a filter finds them; `wanted` are the
/// figures that are looked at, those that order the groups included.
pub fn timings(
    scope: Scope,
    filter: &AttemptFilter,
    grouping: Grouping,
    wanted: &[AttemptFigure],
) -> Stats<TimingFigures> {
    Stats::of(question(search_of(scope, filter), &grouping, &FIGURES, wanted), grouping)
}
