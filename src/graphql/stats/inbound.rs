//! `inboundStats`: how many requests came in, and what became of them.

use async_graphql::{Context, Enum, Object, SimpleObject};
use chrono::Utc;

use super::answer::{Answer, Gaps, answer};
use super::grouping::Arguments;
use super::key::{BucketKey, InboundDimension, InboundKey, Keys};
use super::{COST, rate};
use crate::event_log::reader::TestRows;
use crate::event_log::reader::stats::inbound as reader;
use crate::event_log::reader::stats::{Dimension, Order};
use crate::graphql::enums::{Direction, TimeBucket};
use crate::graphql::failure::Failure;
use crate::graphql::query::{databases, scope};
use crate::graphql::types::inbound_log::InboundLogFilter;

/// By what groups of requests are ordered.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum InboundStatsOrder {
    Requests,
    Accepted,
    Duplicate,
    Conflict,
    Quarantined,
    Rejected,
    /// By the properties themselves.
    Key,
}

impl InboundStatsOrder {
    fn by(self) -> &'static str {
        match self {
            Self::Requests => "request_count",
            Self::Accepted => "accepted_count",
            Self::Duplicate => "duplicate_count",
            Self::Conflict => "conflict_count",
            Self::Quarantined => "quarantined_count",
            Self::Rejected => "rejected_count",
            Self::Key => "group_keys",
        }
    }
}

/// Figures of inbound requests. All are exact.
#[derive(SimpleObject, Default)]
pub struct InboundFigures {
    requests: u64,
    accepted: u64,
    duplicate: u64,
    conflict: u64,
    quarantined: u64,
    rejected: u64,
    /// Rejected of all requests, 0 to 1; null where there are none.
    rejection_rate: Option<f64>,
}

impl From<&reader::InboundFigures> for InboundFigures {
    fn from(found: &reader::InboundFigures) -> Self {
        Self {
            requests: found.request_count,
            accepted: found.accepted_count,
            duplicate: found.duplicate_count,
            conflict: found.conflict_count,
            quarantined: found.quarantined_count,
            rejected: found.rejected_count,
            rejection_rate: rate(found.rejected_count, found.request_count),
        }
    }
}

/// A group of requests, or one bucket of it.
#[derive(SimpleObject)]
pub struct InboundStatsRow {
    #[graphql(flatten)]
    bucket: BucketKey,
    #[graphql(flatten)]
    key: InboundKey,
    #[graphql(flatten)]
    figures: InboundFigures,
}

#[derive(Default)]
pub struct InboundStatsQuery;

#[Object]
impl InboundStatsQuery {
    /// Conversion requests received, by what became of them, why, and when. An advertiser counts its
    /// own; a partner none. Tests are left out unless `includeTests` or the filter asks for them.
    /// The other arguments are those of `postbackStats`.
    #[graphql(complexity = "COST + child_complexity")]
    #[allow(clippy::too_many_arguments, reason = "they are those of the field")]
    async fn inbound_stats(
        &self,
        ctx: &Context<'_>,
        filter: Option<InboundLogFilter>,
        #[graphql(default = false)] include_tests: bool,
        #[graphql(desc = "None makes one group of all.")] group_by: Option<Vec<InboundDimension>>,
        #[graphql(desc = "Needs filter.from.")] bucket: Option<TimeBucket>,
        #[graphql(desc = "Such as Europe/Berlin or +03:00; UTC where it is not given.")] time_zone: Option<
            String,
        >,
        #[graphql(desc = "Whether buckets without requests have a row too.", default = false)]
        fill_gaps: bool,
        #[graphql(default_with = "InboundStatsOrder::Requests")] order_by: InboundStatsOrder,
        #[graphql(default_with = "Direction::Descending")] direction: Direction,
        limit: Option<i32>,
    ) -> Result<Answer<InboundStatsRow, InboundFigures>, Failure> {
        let mut filter = filter.unwrap_or_default().read()?;
        if filter.tests == TestRows::Included && !include_tests {
            filter.tests = TestRows::LeftOut;
        }
        let grouping = Arguments {
            dimensions: group_by.unwrap_or_default().into_iter().map(Dimension::from).collect(),
            bucket: bucket.map(Into::into),
            time_zone: time_zone.as_deref(),
            limit,
            bounds: (filter.from, filter.to),
            now: Utc::now(),
        }
        .read()?;
        let order = Order { by: order_by.by(), direction: direction.into() };
        let figures = |found: &reader::InboundFigures| InboundFigures::from(found);
        let row = |keys: Keys<'_>, start, zone, found: &reader::InboundFigures| InboundStatsRow {
            bucket: BucketKey::of(keys, start, zone),
            key: InboundKey::of(keys),
            figures: figures(found),
        };
        let gaps = Gaps::of(fill_gaps);
        match reader::inbound_stats(scope(ctx)?, &filter, grouping.clone()) {
            Some(stats) => answer(ctx, &databases(ctx).log, stats, order, gaps, row, figures).await,
            None => Ok(Answer::of_nothing(&grouping, InboundFigures::default())),
        }
    }
}
