//! Figures of attempts: how many, what they came to, what was told by them.

use clickhouse::Row;
use serde::Deserialize;

use super::SumsInMillionths;
use super::grouping::{Aggregation, GroupRow, Grouping, Question, Stats, group_row};
use super::source::{AttemptQuestion, AttemptSource};
use crate::event_log::reader::AttemptFilter;
use crate::event_log::reader::attempts::search_of;
use crate::event_log::reader::search::Search;
use crate::graphql::scope::Scope;

pub use super::source::AttemptFigure;

#[derive(Debug, Clone, Default, Row, Deserialize)]
pub struct PostbackFigures {
    pub group_keys: Vec<String>,
    /// Seconds since 1970; 0 without buckets.
    pub bucket_start: i64,
    pub attempt_count: u64,
    pub delivery_count: u64,
    pub delivered_count: u64,
    pub retrying_count: u64,
    pub failed_count: u64,
    pub skipped_count: u64,
    pub first_attempt_count: u64,
    pub first_delivered_count: u64,
    pub amount_sums: SumsInMillionths,
    pub payout_sums: SumsInMillionths,
}

group_row!(PostbackFigures);

/// All that a row has.
const FIGURES: [AttemptFigure; 10] = [
    AttemptFigure::Attempts,
    AttemptFigure::Deliveries,
    AttemptFigure::Delivered,
    AttemptFigure::Retrying,
    AttemptFigure::Failed,
    AttemptFigure::Skipped,
    AttemptFigure::FirstAttempts,
    AttemptFigure::FirstDelivered,
    AttemptFigure::Amounts,
    AttemptFigure::Payouts,
];

/// A question about attempts in scope, as a filter finds them; `wanted` are the figures that are
/// looked at, those that order the groups included.
pub fn postback_stats(
    scope: Scope,
    filter: &AttemptFilter,
    grouping: Grouping,
    wanted: &[AttemptFigure],
) -> Stats<PostbackFigures> {
    Stats::of(question(search_of(scope, filter), &grouping, &FIGURES, wanted), grouping)
}

/// Asks the quickest source for the wanted ones of `figures`, and for nothing in place of the rest.
pub(super) fn question(
    search: Search,
    grouping: &Grouping,
    figures: &[AttemptFigure],
    wanted: &[AttemptFigure],
) -> Question {
    let source = AttemptSource::choose(&AttemptQuestion { search: &search, grouping, figures: wanted });
    let (table, conditions) = source.reading(&search);
    let figures = figures.iter().map(|figure| {
        let is_wanted = wanted.contains(figure);
        (figure.name(), if is_wanted { source.figure(*figure) } else { figure.nothing().to_owned() })
    });
    let part = Aggregation { table, conditions, seconds: source.seconds(), figures: figures.collect() };
    Question { search, parts: vec![part], added: |name| format!("sum(part_{name})") }
}
