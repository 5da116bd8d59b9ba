//! Which table of figures answers a question about attempts, and how.
//!
//! A range seldom begins and ends on whole minutes or days. Whole ones are read from the table of
//! figures; the rows at the two edges are counted on the spot, into the same columns. So the answer
//! is exact whatever the range, and reads few rows.

use super::Dimension;
use super::grouping::QUANTILE_ERROR;
use super::source::{AttemptFigure, AttemptQuestion};
use crate::event_log::reader::search::{Search, where_clause};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    /// `attempts_by_minute`: few columns, counts and quantiles.
    Minutes,
    /// `attempts_by_day`: every column, counts only.
    Days,
    /// `attempt_timings_by_day`: counts and quantiles by one of four ids and outcome.
    Timings(Dimension),
    /// `sent_timings`: quantiles by minute, whatever the outcome.
    SentByMinute,
    /// `sent_timings`: quantiles by day and one of four ids, whatever the outcome.
    SentByDay(Dimension),
}

const MINUTE_COLUMNS: &[&str] = &["outcome", "error_kind", "is_test"];
const DAY_COLUMNS: &[&str] = &[
    "owner",
    "partner_id",
    "advertiser_id",
    "offer_id",
    "postback_id",
    "event",
    "status",
    "outcome",
    "error_kind",
    "is_test",
];
/// The one with the fewest ids first: it answers where none is asked for.
const TIMED: [Dimension; 4] =
    [Dimension::Advertiser, Dimension::Offer, Dimension::Partner, Dimension::Postback];

const COUNTS: &str = "attempts, first_attempts, answered, total_us_sum, total_us_max, queued_us_sum, queued_us_max, \
    first_byte_us_sum, first_byte_us_max";
const STATES: &str = "total_us_quantiles, queued_us_quantiles, first_byte_us_quantiles";
/// The same of rows, as the views count them.
const COUNTS_OF_ROWS: &str = "count() AS attempts, countIf(attempt = 1) AS first_attempts, \
    countIf(first_byte_us > 0) AS answered, sum(total_us) AS total_us_sum, max(total_us) AS total_us_max, \
    sum(queued_us) AS queued_us_sum, max(queued_us) AS queued_us_max, sum(first_byte_us) AS first_byte_us_sum, \
    max(first_byte_us) AS first_byte_us_max";

/// What went out, of rows by outcome.
const GONE_OUT: &str = "outcome != 'skipped'";
/// The counts of what went out, and the same of rows.
const SENT: &str = "attempts, sent, answered, total_us_sum, total_us_max, queued_us_sum, queued_us_max, \
    first_byte_us_sum, first_byte_us_max";
const SENT_OF_ROWS: &str = "count() AS attempts, countIf(outcome != 'skipped') AS sent, \
    countIf(first_byte_us > 0) AS answered, sumIf(total_us, outcome != 'skipped') AS total_us_sum, \
    maxIf(total_us, outcome != 'skipped') AS total_us_max, sumIf(queued_us, outcome != 'skipped') AS queued_us_sum, \
    maxIf(queued_us, outcome != 'skipped') AS queued_us_max, sum(first_byte_us) AS first_byte_us_sum, \
    max(first_byte_us) AS first_byte_us_max";

impl Rollup {
    /// The table of figures with the fewest rows that answers exactly, if one does.
    pub fn choose(question: &AttemptQuestion) -> Option<Self> {
        let by_day =
            [Self::Days].into_iter().chain(TIMED.map(Self::SentByDay)).chain(TIMED.map(Self::Timings));
        let mut tables = by_day.chain([Self::SentByMinute, Self::Minutes]);
        tables.find(|table| table.answers(question))
    }

    fn answers(self, question: &AttemptQuestion) -> bool {
        let columns = self.columns();
        let is_kept = |column: &str| columns.contains(&column);
        let has_figures = question.figures.iter().all(|figure| match figure {
            AttemptFigure::Queued | AttemptFigure::FirstByte | AttemptFigure::Total => self != Self::Days,
            AttemptFigure::Attempts => true,
            AttemptFigure::Delivered
            | AttemptFigure::Retrying
            | AttemptFigure::Failed
            | AttemptFigure::Skipped
            | AttemptFigure::FirstAttempts
            | AttemptFigure::FirstDelivered => !self.is_of_sent(),
            AttemptFigure::Deliveries
            | AttemptFigure::Amounts
            | AttemptFigure::Payouts
            | AttemptFigure::Dns
            | AttemptFigure::Connect
            | AttemptFigure::Tls => false,
        });
        let has_dimensions = question.grouping.dimensions.iter().all(|dimension| match dimension.column() {
            Some(column) => is_kept(column),
            // The hour of day.
            None => self.length_s() == 60,
        });
        let length_s = self.length_s();
        let has_buckets = question.grouping.buckets.as_ref().is_none_or(|buckets| {
            buckets.starts().iter().all(|start| start.timestamp().rem_euclid(length_s) == 0)
        });
        has_figures
            && has_dimensions
            && has_buckets
            && question.search.columns().iter().all(|column| is_kept(column))
    }

    /// Its figures are of all attempts that went out.
    fn is_of_sent(self) -> bool {
        matches!(self, Self::SentByMinute | Self::SentByDay(_))
    }

    fn length_s(self) -> i64 {
        match self {
            Self::Minutes | Self::SentByMinute => 60,
            Self::Days | Self::Timings(_) | Self::SentByDay(_) => 86_400,
        }
    }

    fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Minutes => MINUTE_COLUMNS.to_vec(),
            Self::Days => DAY_COLUMNS.to_vec(),
            Self::Timings(by) => by.column().into_iter().chain(["outcome", "is_test"]).collect(),
            Self::SentByMinute => vec!["is_test"],
            Self::SentByDay(by) => by.column().into_iter().chain(["is_test"]).collect(),
        }
    }

    fn table(self) -> &'static str {
        match self {
            Self::Minutes => "attempts_by_minute",
            Self::Days => "attempts_by_day",
            Self::Timings(_) => "attempt_timings_by_day",
            Self::SentByMinute | Self::SentByDay(_) => "sent_timings",
        }
    }

    /// The figures as the table holds them, and as they are counted of rows.
    fn figures(self) -> (String, String) {
        match self {
            Self::Days => (COUNTS.to_owned(), COUNTS_OF_ROWS.to_owned()),
            Self::Minutes | Self::Timings(_) => {
                (format!("{COUNTS}, {STATES}"), format!("{COUNTS_OF_ROWS}, {}", states(None)))
            }
            Self::SentByMinute | Self::SentByDay(_) => {
                (format!("{SENT}, {STATES}"), format!("{SENT_OF_ROWS}, {}", states(Some(GONE_OUT))))
            }
        }
    }

    /// What stands after `FROM`, with all conditions inside.
    pub fn reading(self, search: &Search) -> String {
        let (start, almost_one_us) = match self.length_s() {
            60 => ("toStartOfMinute", 59_999_999),
            _ => ("toStartOfDay", 86_399_999_999_i64),
        };
        let first: Vec<String> = search
            .bounds(">=")
            .iter()
            .map(|bound| format!("{start}({bound} + toIntervalMicrosecond({almost_one_us}))"))
            .collect();
        let last: Vec<String> = search.bounds("<").iter().map(|bound| format!("{start}({bound})")).collect();
        let mut whole = search.conditions_beside_time();
        whole.extend(first.iter().map(|first| format!("bucket >= {first}")));
        whole.extend(last.iter().map(|last| format!("bucket < {last}")));
        let outside: Vec<String> = first
            .iter()
            .map(|first| format!("started_at < {first}"))
            .chain(last.iter().map(|last| format!("started_at >= {last}")))
            .collect();
        let (figures, of_rows) = self.figures();
        let table = self.table();
        let kept = self.columns().join(", ");
        let (columns, columns_of_rows) = match self {
            Self::Minutes | Self::Days => (kept.clone(), kept.clone()),
            Self::SentByMinute => {
                whole.push("grouped_by = 'minute'".into());
                (kept.clone(), kept.clone())
            }
            Self::Timings(by) | Self::SentByDay(by) => {
                let id = by.column().unwrap_or_default();
                whole.push(format!("grouped_by = '{}'", id.trim_end_matches("_id")));
                let others = if self.is_of_sent() { "is_test" } else { "outcome, is_test" };
                (format!("group_id AS {id}, {others}"), format!("toUUID({id}) AS {id}, {others}"))
            }
        };
        let whole = format!("SELECT bucket, {columns}, {figures} FROM {table}{}", where_clause(&whole));
        if outside.is_empty() {
            return format!("({whole})");
        }
        let mut edges = search.conditions();
        edges.push(format!("({})", outside.join(" OR ")));
        format!(
            "({whole} UNION ALL SELECT {start}(started_at) AS bucket, {columns_of_rows}, {of_rows} \
             FROM attempts{} GROUP BY bucket, {kept})",
            where_clause(&edges)
        )
    }

    /// The expression of a figure that one of the tables holds.
    pub fn figure(self, figure: AttemptFigure) -> Option<String> {
        let is_of_sent = self.is_of_sent();
        // Where rows are kept by outcome, those that went out are picked.
        let (samples, gone_out, answered) = match is_of_sent {
            true => ("sent", None, None),
            false => ("attempts", Some(GONE_OUT), Some("answered > 0")),
        };
        Some(match figure {
            AttemptFigure::Attempts => "sum(attempts)".into(),
            AttemptFigure::Queued => times("queued_us", samples, gone_out),
            AttemptFigure::FirstByte => times("first_byte_us", "answered", answered),
            AttemptFigure::Total => times("total_us", samples, gone_out),
            _ if is_of_sent => return None,
            AttemptFigure::Delivered => "sumIf(attempts, outcome = 'delivered')".into(),
            AttemptFigure::Retrying => "sumIf(attempts, outcome = 'retrying')".into(),
            AttemptFigure::Failed => "sumIf(attempts, outcome = 'failed')".into(),
            AttemptFigure::Skipped => "sumIf(attempts, outcome = 'skipped')".into(),
            AttemptFigure::FirstAttempts => "sumIf(first_attempts, outcome != 'skipped')".into(),
            AttemptFigure::FirstDelivered => "sumIf(first_attempts, outcome = 'delivered')".into(),
            AttemptFigure::Deliveries
            | AttemptFigure::Amounts
            | AttemptFigure::Payouts
            | AttemptFigure::Dns
            | AttemptFigure::Connect
            | AttemptFigure::Tls => return None,
        })
    }
}

/// Number, sum, most, and quantiles of a duration, of the rows of a condition or of all.
fn times(column: &str, samples: &str, condition: Option<&str>) -> String {
    let (only, condition) =
        condition.map_or(("", String::new()), |condition| ("If", format!(", {condition}")));
    format!(
        "tuple(sum{only}({samples}{condition}), sum{only}({column}_sum{condition}), max{only}({column}_max{condition}), \
         CAST(quantilesDDMerge{only}({QUANTILE_ERROR}, 0.5, 0.9, 0.95, 0.99)({column}_quantiles{condition}), 'Array(Float64)'))"
    )
}

/// The states of rows; those of the whole and of the waiting time are of the rows of a condition or of all.
fn states(condition: Option<&str>) -> String {
    let state = |column: &str, condition: Option<&str>| {
        let (only, condition) =
            condition.map_or(("", String::new()), |condition| ("If", format!(", {condition}")));
        format!(
            "quantilesDDState{only}({QUANTILE_ERROR}, 0.5, 0.9, 0.95, 0.99)({column}{condition}) AS {column}_quantiles"
        )
    };
    [
        state("total_us", condition),
        state("queued_us", condition),
        state("first_byte_us", Some("first_byte_us > 0")),
    ]
    .join(", ")
}
