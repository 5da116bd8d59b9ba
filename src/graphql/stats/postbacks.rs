//! `postbackStats`: how many attempts and deliveries, what they came to, what was told by them.

use async_graphql::{Context, Enum, Object, SimpleObject};
use chrono::Utc;

use super::answer::{Answer, Gaps, answer};
use super::grouping::Arguments;
use super::key::{BucketKey, PostbackDimension, PostbackKey};
use super::{COST, Sum, rate, shown_sums};
use crate::event_log::reader::stats::postbacks::{self as reader, AttemptFigure};
use crate::event_log::reader::stats::{Dimension, Order};
use crate::graphql::enums::{Direction, TimeBucket};
use crate::graphql::failure::Failure;
use crate::graphql::query::{databases, scope};
use crate::graphql::scope::Scope;
use crate::graphql::types::postback_log::PostbackLogFilter;

/// By what groups of attempts are ordered.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum PostbackStatsOrder {
    Attempts,
    Deliveries,
    Delivered,
    Retrying,
    Failed,
    Skipped,
    SuccessRate,
    FirstAttemptSuccessRate,
    /// By the properties themselves.
    Key,
}

impl PostbackStatsOrder {
    fn by(self) -> &'static str {
        match self {
            Self::Attempts => "attempt_count",
            Self::Deliveries => "delivery_count",
            Self::Delivered => "delivered_count",
            Self::Retrying => "retrying_count",
            Self::Failed => "failed_count",
            Self::Skipped => "skipped_count",
            Self::SuccessRate => "delivered_count / nullIf(attempt_count - skipped_count, 0)",
            Self::FirstAttemptSuccessRate => "first_delivered_count / nullIf(first_attempt_count, 0)",
            Self::Key => "group_keys",
        }
    }

    /// What has to be counted for it.
    fn figures(self) -> &'static [AttemptFigure] {
        match self {
            Self::Attempts => &[AttemptFigure::Attempts],
            Self::Deliveries => &[AttemptFigure::Deliveries],
            Self::Delivered => &[AttemptFigure::Delivered],
            Self::Retrying => &[AttemptFigure::Retrying],
            Self::Failed => &[AttemptFigure::Failed],
            Self::Skipped => &[AttemptFigure::Skipped],
            Self::SuccessRate => &[AttemptFigure::Delivered, AttemptFigure::Attempts, AttemptFigure::Skipped],
            Self::FirstAttemptSuccessRate => &[AttemptFigure::FirstDelivered, AttemptFigure::FirstAttempts],
            Self::Key => &[],
        }
    }
}

/// Figures of attempts. All are exact.
#[derive(SimpleObject)]
pub struct PostbackFigures {
    attempts: u64,
    /// Different deliveries that had an attempt here.
    deliveries: u64,
    /// Attempts that were delivered.
    delivered: u64,
    /// Attempts that failed, and another is due or was.
    retrying: u64,
    /// Attempts that failed, and were the last.
    failed: u64,
    /// Not fit to send; nothing went out.
    skipped: u64,
    /// Delivered of all attempts that went out, 0 to 1; null where none did.
    success_rate: Option<f64>,
    /// Given up of all attempts that went out, 0 to 1.
    failure_rate: Option<f64>,
    /// Attempts that went out and were the first of their delivery.
    first_attempts: u64,
    /// Those of them that were delivered.
    first_attempts_delivered: u64,
    /// Delivered of first attempts that went out, 0 to 1.
    first_attempt_success_rate: Option<f64>,
    /// The amounts that delivered attempts told of, summed by their currency; a sum of zero is left
    /// out. A conversion that several postbacks or events told of counts with each.
    delivered_amounts: Vec<Sum>,
    /// The same of the payouts. Null for advertisers.
    delivered_payouts: Option<Vec<Sum>>,
}

/// Which figures each field is made of.
const FIELDS: [(&str, &[AttemptFigure]); 13] = [
    ("attempts", &[AttemptFigure::Attempts]),
    ("deliveries", &[AttemptFigure::Deliveries]),
    ("delivered", &[AttemptFigure::Delivered]),
    ("retrying", &[AttemptFigure::Retrying]),
    ("failed", &[AttemptFigure::Failed]),
    ("skipped", &[AttemptFigure::Skipped]),
    ("successRate", &[AttemptFigure::Delivered, AttemptFigure::Attempts, AttemptFigure::Skipped]),
    ("failureRate", &[AttemptFigure::Failed, AttemptFigure::Attempts, AttemptFigure::Skipped]),
    ("firstAttempts", &[AttemptFigure::FirstAttempts]),
    ("firstAttemptsDelivered", &[AttemptFigure::FirstDelivered]),
    ("firstAttemptSuccessRate", &[AttemptFigure::FirstDelivered, AttemptFigure::FirstAttempts]),
    ("deliveredAmounts", &[AttemptFigure::Amounts]),
    ("deliveredPayouts", &[AttemptFigure::Payouts]),
];

/// The figures that selected fields of the rows or the total are made of.
pub fn wanted<F: Copy + PartialEq>(ctx: &Context<'_>, fields: &[(&str, &[F])], order: &[F]) -> Vec<F> {
    let (rows, total) = (ctx.look_ahead().field("rows"), ctx.look_ahead().field("total"));
    let mut wanted = order.to_vec();
    for (field, figures) in fields {
        if rows.field(field).exists() || total.field(field).exists() {
            wanted.extend(figures.iter().filter(|figure| !order.contains(figure)));
        }
    }
    wanted
}

impl PostbackFigures {
    fn seen_by(scope: Scope, found: &reader::PostbackFigures) -> Self {
        let sent = found.attempt_count.saturating_sub(found.skipped_count);
        Self {
            attempts: found.attempt_count,
            deliveries: found.delivery_count,
            delivered: found.delivered_count,
            retrying: found.retrying_count,
            failed: found.failed_count,
            skipped: found.skipped_count,
            success_rate: rate(found.delivered_count, sent),
            failure_rate: rate(found.failed_count, sent),
            first_attempts: found.first_attempt_count,
            first_attempts_delivered: found.first_delivered_count,
            first_attempt_success_rate: rate(found.first_delivered_count, found.first_attempt_count),
            delivered_amounts: shown_sums(&found.amount_sums),
            delivered_payouts: scope.sees_payouts().then(|| shown_sums(&found.payout_sums)),
        }
    }
}

/// A group of attempts, or one bucket of it.
#[derive(SimpleObject)]
pub struct PostbackStatsRow {
    #[graphql(flatten)]
    bucket: BucketKey,
    #[graphql(flatten)]
    key: PostbackKey,
    #[graphql(flatten)]
    figures: PostbackFigures,
}

#[derive(Default)]
pub struct PostbackStatsQuery;

#[Object]
impl PostbackStatsQuery {
    /// Attempts counted by any set of properties and by time; those of tests only where the filter
    /// includes them. An advertiser or partner counts those of its own postbacks.
    ///
    /// `limit` is the most groups (not rows: each comes with all its buckets), 1000 where it is not
    /// given, and at most as many as make 50000 rows with their buckets.
    #[graphql(complexity = "COST + child_complexity")]
    #[allow(clippy::too_many_arguments, reason = "they are those of the field")]
    async fn postback_stats(
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
        #[graphql(default_with = "PostbackStatsOrder::Attempts")] order_by: PostbackStatsOrder,
        #[graphql(default_with = "Direction::Descending")] direction: Direction,
        limit: Option<i32>,
    ) -> Result<Answer<PostbackStatsRow, PostbackFigures>, Failure> {
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
        let stats = reader::postback_stats(scope, &filter, grouping, &wanted);
        let order = Order { by: order_by.by(), direction: direction.into() };
        let figures = |found: &reader::PostbackFigures| PostbackFigures::seen_by(scope, found);
        let row =
            |keys: super::key::Keys<'_>, start, zone, found: &reader::PostbackFigures| PostbackStatsRow {
                bucket: BucketKey::of(keys, start, zone),
                key: PostbackKey::of(keys),
                figures: figures(found),
            };
        answer(ctx, &databases(ctx).log, stats, order, Gaps::of(fill_gaps), row, figures).await
    }
}
