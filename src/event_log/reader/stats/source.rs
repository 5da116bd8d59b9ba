//! The one place that says which table answers a question about attempts, and how each figure is
//! read from it.
//!
//! A coarser table answers where it holds every column that the question touches and every figure
//! it wants, and where the range and the buckets begin on its own; the answer is the same, or,
//! of a quantile, within the same bound.

use super::grouping::{Grouping, QUANTILE_ERROR};
use super::rollup::Rollup;
use super::{NO_COUNT, NO_SUMS, sum_by_currency};
use crate::event_log::reader::search::Search;

/// A figure of a group of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptFigure {
    Attempts,
    /// Different deliveries.
    Deliveries,
    Delivered,
    Retrying,
    Failed,
    Skipped,
    /// Attempts that were the first of their delivery and went out.
    FirstAttempts,
    FirstDelivered,
    /// By currency, of delivered attempts.
    Amounts,
    Payouts,
    Queued,
    Dns,
    Connect,
    Tls,
    FirstByte,
    Total,
}

impl AttemptFigure {
    /// The name of its column in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attempts => "attempt_count",
            Self::Deliveries => "delivery_count",
            Self::Delivered => "delivered_count",
            Self::Retrying => "retrying_count",
            Self::Failed => "failed_count",
            Self::Skipped => "skipped_count",
            Self::FirstAttempts => "first_attempt_count",
            Self::FirstDelivered => "first_delivered_count",
            Self::Amounts => "amount_sums",
            Self::Payouts => "payout_sums",
            Self::Queued => "queued_times",
            Self::Dns => "dns_times",
            Self::Connect => "connect_times",
            Self::Tls => "tls_times",
            Self::FirstByte => "first_byte_times",
            Self::Total => "total_times",
        }
    }

    /// What stands in the answer where nobody asked for it.
    pub fn nothing(self) -> &'static str {
        match self {
            Self::Amounts | Self::Payouts => NO_SUMS,
            Self::Queued | Self::Dns | Self::Connect | Self::Tls | Self::FirstByte | Self::Total => {
                "CAST((0, 0, 0, []), 'Tuple(UInt64, UInt64, UInt64, Array(Float64))')"
            }
            _ => NO_COUNT,
        }
    }
}

/// What a source is chosen by.
pub struct AttemptQuestion<'a> {
    pub search: &'a Search,
    pub grouping: &'a Grouping,
    pub figures: &'a [AttemptFigure],
}

/// A table that holds attempts, one by one or counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptSource {
    /// `attempts`: every attempt, with every column.
    Attempts,
    /// A table of figures, and the rows at the edges of the range.
    Rollup(Rollup),
}

impl AttemptSource {
    /// The quickest source that answers the question exactly.
    pub fn choose(question: &AttemptQuestion) -> Self {
        let source = Rollup::choose(question).map_or(Self::Attempts, Self::Rollup);
        tracing::debug!(
            ?source,
            filtered_by = ?question.search.columns(),
            grouped_by = ?question.grouping.dimensions,
            figures = ?question.figures,
            "a question about attempts"
        );
        source
    }

    /// What stands after `FROM`, and the conditions that follow it.
    pub fn reading(self, search: &Search) -> (String, Vec<String>) {
        match self {
            Self::Attempts => (search.table().name.to_owned(), search.conditions()),
            Self::Rollup(rollup) => (rollup.reading(search), Vec::new()),
        }
    }

    /// The expression of a row's time, in seconds since 1970.
    pub fn seconds(self) -> &'static str {
        match self {
            Self::Attempts => "toUnixTimestamp(started_at)",
            Self::Rollup(_) => "toUnixTimestamp(bucket)",
        }
    }

    /// The expression of a figure.
    pub fn figure(self, figure: AttemptFigure) -> String {
        match self {
            Self::Attempts => of_attempts(figure),
            Self::Rollup(rollup) => rollup.figure(figure).unwrap_or_else(|| figure.nothing().to_owned()),
        }
    }
}

fn of_attempts(figure: AttemptFigure) -> String {
    match figure {
        AttemptFigure::Attempts => "count()".into(),
        AttemptFigure::Deliveries => "uniqExact(delivery_id)".into(),
        AttemptFigure::Delivered => "countIf(outcome = 'delivered')".into(),
        AttemptFigure::Retrying => "countIf(outcome = 'retrying')".into(),
        AttemptFigure::Failed => "countIf(outcome = 'failed')".into(),
        AttemptFigure::Skipped => "countIf(outcome = 'skipped')".into(),
        AttemptFigure::FirstAttempts => "countIf(attempt = 1 AND outcome != 'skipped')".into(),
        AttemptFigure::FirstDelivered => "countIf(attempt = 1 AND outcome = 'delivered')".into(),
        AttemptFigure::Amounts => sum_by_currency("amount", "currency", "outcome = 'delivered'"),
        AttemptFigure::Payouts => sum_by_currency("payout", "payout_currency", "outcome = 'delivered'"),
        AttemptFigure::Queued => times("queued_us", "outcome != 'skipped'"),
        AttemptFigure::Dns => times("dns_us", "dns_us > 0"),
        AttemptFigure::Connect => times("connect_us", "connect_us > 0"),
        AttemptFigure::Tls => times("tls_us", "tls_us > 0"),
        AttemptFigure::FirstByte => times("first_byte_us", "first_byte_us > 0"),
        AttemptFigure::Total => times("total_us", "outcome != 'skipped'"),
    }
}

/// Number, sum, most, and quantiles of a duration over the rows of a condition.
fn times(column: &str, condition: &str) -> String {
    format!(
        "tuple(countIf({condition}), sumIf({column}, {condition}), maxIf({column}, {condition}), \
         CAST(quantilesDDIf({QUANTILE_ERROR}, 0.5, 0.9, 0.95, 0.99)({column}, {condition}), 'Array(Float64)'))"
    )
}
