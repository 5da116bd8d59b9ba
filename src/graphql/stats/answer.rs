//! The frame of every answer: its rows, their number, and what they cover.

use std::sync::Arc;

use async_graphql::{Context, OutputType, SimpleObject};

use super::conversions::{ConversionFigures, ConversionStatsRow};
use super::inbound::{InboundFigures, InboundStatsRow};
use super::key::{Keys, named_ids};
use super::postbacks::{PostbackFigures, PostbackStatsRow};
use super::timings::{TimingFigures, TimingsRow};
use crate::domain::zone::Zone;
use crate::event_log::EventLog;
use crate::event_log::reader::stats::{GroupRow, Grouping, Order, Stats};
use crate::graphql::failure::{Failure, read_log};
use crate::graphql::names::Names;
use crate::graphql::query::scope;
use crate::graphql::scalars::Time;

/// Groups with their figures.
#[derive(SimpleObject)]
#[graphql(concrete(name = "PostbackStats", params(PostbackStatsRow, PostbackFigures)))]
#[graphql(concrete(name = "Timings", params(TimingsRow, TimingFigures)))]
#[graphql(concrete(name = "ConversionStats", params(ConversionStatsRow, ConversionFigures)))]
#[graphql(concrete(name = "InboundStats", params(InboundStatsRow, InboundFigures)))]
pub struct Answer<R: OutputType, F: OutputType> {
    /// The groups in the order asked for; within a group, its buckets by time.
    rows: Vec<R>,
    /// The figures of all that the filter finds, also of groups that the limit leaves out.
    total: F,
    /// How many groups there are, those included that the limit leaves out.
    group_count: u64,
    /// Whether the limit leaves groups out.
    is_cut: bool,
    /// Beginning of the range, inclusive; null for that of the log.
    from: Option<Time>,
    /// End of the range, exclusive.
    to: Time,
    time_zone: String,
}

/// Whether every bucket of a group has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    Filled,
    Left,
}

impl Gaps {
    pub fn of(fill_gaps: bool) -> Self {
        if fill_gaps { Self::Filled } else { Self::Left }
    }
}

impl<R: OutputType, F: OutputType> Answer<R, F> {
    /// For whom there is nothing to count.
    pub fn of_nothing(grouping: &Grouping, total: F) -> Self {
        Self {
            rows: Vec::new(),
            total,
            group_count: 0,
            is_cut: false,
            from: grouping.from.map(Time::from),
            to: grouping.to.into(),
            time_zone: grouping.zone.name(),
        }
    }
}

/// Asks what was selected, at once.
pub async fn answer<S, R, F>(
    ctx: &Context<'_>,
    log: &EventLog,
    stats: Stats<S>,
    order: Order,
    gaps: Gaps,
    row: impl Fn(Keys, Option<i64>, Zone, &S) -> R,
    figures: impl Fn(&S) -> F,
) -> Result<Answer<R, F>, Failure>
where
    S: GroupRow + Sync,
    R: OutputType,
    F: OutputType,
{
    let selected = |field: &str| ctx.look_ahead().field(field).exists();
    let rows = async {
        match selected("rows") || selected("isCut") {
            true => stats.rows(log, &order).await.map(Some),
            false => Ok(None),
        }
    };
    let total = async {
        match selected("total") {
            true => stats.total(log).await,
            false => Ok(S::default()),
        }
    };
    let group_count = async {
        match selected("groupCount") {
            true => stats.group_count(log).await,
            false => Ok(0),
        }
    };
    let (grouped, total, group_count) =
        read_log(async { tokio::try_join!(rows, total, group_count) }).await?;
    let grouping = stats.grouping();
    let (rows, is_cut) = match (grouped, &grouping.buckets) {
        (None, _) => (Vec::new(), false),
        (Some(grouped), Some(buckets)) if gaps == Gaps::Filled => {
            let grouped = grouped.without_gaps(buckets);
            (grouped.rows, grouped.is_cut)
        }
        (Some(grouped), _) => (grouped.rows, grouped.is_cut),
    };
    let dimensions = &grouping.dimensions;
    let ids = rows.iter().flat_map(|found| named_ids(dimensions, found.keys()));
    let names = Arc::new(Names::of(scope(ctx)?, ids));
    let shown = |found: &S| {
        let keys = Keys { dimensions, texts: found.keys(), names: &names };
        row(keys, grouping.buckets.as_ref().map(|_| found.bucket_start()), grouping.zone, found)
    };
    Ok(Answer {
        rows: rows.iter().map(shown).collect(),
        group_count,
        is_cut,
        ..Answer::of_nothing(grouping, figures(&total))
    })
}
