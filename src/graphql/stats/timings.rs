//! `timings`: how long attempts took, step by step.

use async_graphql::{Context, Enum, Object, SimpleObject};
use chrono::Utc;

use super::COST;
use super::answer::{Answer, Gaps, answer};
use super::grouping::Arguments;
use super::key::{BucketKey, Keys, PostbackDimension, PostbackKey};
use super::postbacks::wanted;
use crate::event_log::reader::stats::postbacks::AttemptFigure;
use crate::event_log::reader::stats::timings::{self as reader, Times};
use crate::event_log::reader::stats::{Dimension, Order};
use crate::graphql::enums::{Direction, TimeBucket};
use crate::graphql::failure::Failure;
use crate::graphql::query::{databases, scope};
use crate::graphql::types::postback_log::PostbackLogFilter;

/// By what groups are ordered; the times are those of `total`.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum TimingsOrder {
    Attempts,
    Average,
    Max,
    P50,
    P90,
    P95,
    P99,
    /// By the properties themselves.
    Key,
}

impl TimingsOrder {
    fn by(self) -> &'static str {
        match self {
            Self::Attempts => "attempt_count",
            Self::Average => "total_times.2 / nullIf(total_times.1, 0)",
            Self::Max => "total_times.3",
            Self::P50 => "total_times.4[1]",
            Self::P90 => "total_times.4[2]",
            Self::P95 => "total_times.4[3]",
            Self::P99 => "total_times.4[4]",
            Self::Key => "group_keys",
        }
    }

    fn figures(self) -> &'static [AttemptFigure] {
        match self {
            Self::Attempts => &[AttemptFigure::Attempts],
            Self::Key => &[],
            _ => &[AttemptFigure::Total],
        }
    }
}

/// How long one step took, in microseconds. The quantiles are off by at most 1 % of their value;
/// everything else is exact.
#[derive(SimpleObject)]
pub struct StepTimes {
    /// Attempts that had this step; the other figures are theirs alone.
    samples: u64,
    /// Null where there are no samples, as with all that follow.
    avg_us: Option<f64>,
    max_us: Option<u64>,
    p50_us: Option<f64>,
    p90_us: Option<f64>,
    p95_us: Option<f64>,
    p99_us: Option<f64>,
}

impl From<&Times> for StepTimes {
    fn from((samples, sum, most, quantiles): &Times) -> Self {
        let quantile = |place: usize| quantiles.get(place).copied().filter(|_| *samples > 0);
        Self {
            samples: *samples,
            avg_us: (*samples > 0).then(|| *sum as f64 / *samples as f64),
            max_us: (*samples > 0).then_some(*most),
            p50_us: quantile(0),
            p90_us: quantile(1),
            p95_us: quantile(2),
            p99_us: quantile(3),
        }
    }
}

/// How long attempts took, step by step.
#[derive(SimpleObject)]
pub struct TimingFigures {
    attempts: u64,
    /// From due to begun, of attempts that went out.
    queued: StepTimes,
    /// Looking the name up, where that was done: not on a reused connection.
    dns: StepTimes,
    /// Connecting, where that was done.
    connect: StepTimes,
    /// The TLS handshake, where there was one.
    tls: StepTimes,
    /// From begun to the head of the answer, where one came.
    first_byte: StepTimes,
    /// From begun to the end, of attempts that went out.
    total: StepTimes,
}

const FIELDS: [(&str, &[AttemptFigure]); 7] = [
    ("attempts", &[AttemptFigure::Attempts]),
    ("queued", &[AttemptFigure::Queued]),
    ("dns", &[AttemptFigure::Dns]),
    ("connect", &[AttemptFigure::Connect]),
    ("tls", &[AttemptFigure::Tls]),
    ("firstByte", &[AttemptFigure::FirstByte]),
    ("total", &[AttemptFigure::Total]),
];

impl From<&reader::TimingFigures> for TimingFigures {
    fn from(found: &reader::TimingFigures) -> Self {
        Self {
            attempts: found.attempt_count,
            queued: (&found.queued_times).into(),
            dns: (&found.dns_times).into(),
            connect: (&found.connect_times).into(),
            tls: (&found.tls_times).into(),
            first_byte: (&found.first_byte_times).into(),
            total: (&found.total_times).into(),
        }
    }
}

/// A group of attempts, or one bucket of it.
#[derive(SimpleObject)]
pub struct TimingsRow {
    #[graphql(flatten)]
    bucket: BucketKey,
    #[graphql(flatten)]
    key: PostbackKey,
    #[graphql(flatten)]
    figures: TimingFigures,
}

#[derive(Default)]
pub struct TimingsQuery;

#[Object]
impl TimingsQuery {
    /// How long attempts took, by any set of properties and by time; the arguments are those of
    /// `postbackStats`. An advertiser or partner sees those of its own postbacks.
    #[graphql(complexity = "COST + child_complexity")]
    #[allow(clippy::too_many_arguments, reason = "they are those of the field")]
    async fn timings(
        &self,
        ctx: &Context<'_>,
        filter: Option<PostbackLogFilter>,
        #[graphql(desc = "None makes one group of all.")] group_by: Option<Vec<PostbackDimension>>,
        #[graphql(desc = "Needs filter.from.")] bucket: Option<TimeBucket>,
        #[graphql(desc = "Such as Europe/Berlin or +03:00; UTC where it is not given.")] time_zone: Option<
            String,
        >,
        #[graphql(desc = "Whether buckets without attempts have a row too.", default = false)]
        fill_gaps: bool,
        #[graphql(default_with = "TimingsOrder::Attempts")] order_by: TimingsOrder,
        #[graphql(default_with = "Direction::Descending")] direction: Direction,
        limit: Option<i32>,
    ) -> Result<Answer<TimingsRow, TimingFigures>, Failure> {
        let filter = filter.unwrap_or_default().read()?;
        let grouping = Arguments {
            dimensions: group_by.unwrap_or_default().into_iter().map(Dimension::from).collect(),
            bucket: bucket.map(Into::into),
            time_zone: time_zone.as_deref(),
            limit,
            bounds: (filter.from, filter.to),
            now: Utc::now(),
        }
        .read()?;
        let scope = scope(ctx)?;
        let wanted = wanted(ctx, &FIELDS, order_by.figures());
        let stats = reader::timings(scope, &filter, grouping, &wanted);
        let order = Order { by: order_by.by(), direction: direction.into() };
        let figures = |found: &reader::TimingFigures| TimingFigures::from(found);
        let row = |keys: Keys<'_>, start, zone, found: &reader::TimingFigures| TimingsRow {
            bucket: BucketKey::of(keys, start, zone),
            key: PostbackKey::of(keys),
            figures: figures(found),
        };
        answer(ctx, &databases(ctx).log, stats, order, Gaps::of(fill_gaps), row, figures).await
    }
}
