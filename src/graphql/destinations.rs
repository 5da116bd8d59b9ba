//! `destinations`: how the far sides of postbacks are doing, and what waits for them.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::enums::BreakerState;
use super::failure::{Failure, read_store};
use super::filter::uuid_at;
use super::paging::List;
use super::query::{databases, page_cost, page_request, scope};
use super::scalars::Time;
use super::setup::{PostbackLimits, PostbackRetry};
use super::types::{LogConnection, connection};
use crate::domain::destination::breaker::State;
use crate::domain::ids::{NodeId, PostbackId};
use crate::pipeline::destination_reporter::state_of;
use crate::pipeline::services::Services;
use crate::store::destination_states::{self, DestinationFilter, DestinationRecord, DestinationState};

/// The far side of a postback: what is set of it, what waits for it, and how the nodes find it.
/// What several nodes say is put together: the worst breaker, the sums of what is under way.
#[derive(SimpleObject)]
pub struct Destination {
    postback_id: ID,
    /// CLOSED: requests go. OPEN: it keeps failing, deliveries wait. HALF_OPEN: one is sent to find
    /// out whether it is well again. Null where no node has sent to it since it started.
    breaker: Option<BreakerState>,
    /// When the next probe may go, while the breaker is open.
    probe_at: Option<Time>,
    /// Until when it asked to be left alone, by `Retry-After`.
    retry_after_until: Option<Time>,
    is_paused: bool,
    /// Why, where Ricochet paused it by itself: it answered 410.
    paused_reason: Option<String>,
    limits: PostbackLimits,
    retry: PostbackRetry,
    /// Requests under way.
    in_flight: i32,
    /// Requests that may be under way as things stand: fewer than the limit while it struggles.
    concurrency: i32,
    /// Deliveries that wait in PostgreSQL, not yet due ones included; 10000 stands for that or more.
    backlog: i32,
    /// When the oldest of them was or is to be sent.
    oldest_due_at: Option<Time>,
    /// Of the node that has seen most.
    consecutive_failures: i32,
    last_success_at: Option<Time>,
    last_failure_at: Option<Time>,
    /// How each node finds it.
    nodes: Vec<DestinationNode>,
}

/// A destination as one server process finds it; a few seconds old where that is another than the
/// one asked.
#[derive(SimpleObject)]
pub struct DestinationNode {
    node_id: ID,
    breaker: BreakerState,
    probe_at: Option<Time>,
    retry_after_until: Option<Time>,
    in_flight: i32,
    concurrency: i32,
    /// The node's share of the limit; 0 where others send.
    max_in_flight: i32,
    /// The node's share of the rate.
    rate_per_second: Option<f64>,
    consecutive_failures: i32,
    last_success_at: Option<Time>,
    last_failure_at: Option<Time>,
}

/// Which destinations. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
pub struct DestinationsFilter {
    postback_ids: Option<Vec<ID>>,
    /// Those of which at least one node says so; as of a few seconds ago.
    breakers: Option<Vec<BreakerState>>,
}

impl DestinationsFilter {
    fn read(self) -> Result<DestinationFilter, Failure> {
        let ids = self.postback_ids.unwrap_or_default();
        Ok(DestinationFilter {
            postback_ids: ids.iter().map(|id| uuid_at("filter.postbackIds", id)).collect::<Result<_, _>>()?,
            breakers: self.breakers.unwrap_or_default().into_iter().map(State::from).collect(),
        })
    }
}

impl From<(NodeId, DestinationState)> for DestinationNode {
    fn from((node, state): (NodeId, DestinationState)) -> Self {
        Self {
            node_id: node.0.into(),
            breaker: state.breaker.into(),
            probe_at: state.probe_at.map(Time::from),
            retry_after_until: state.held_until.map(Time::from),
            in_flight: state.in_flight,
            concurrency: state.concurrency,
            max_in_flight: state.max_in_flight,
            rate_per_second: state.rate_per_second,
            consecutive_failures: state.consecutive_failures,
            last_success_at: state.last_success_at.map(Time::from),
            last_failure_at: state.last_failure_at.map(Time::from),
        }
    }
}

impl From<DestinationRecord> for Destination {
    fn from(DestinationRecord { postback, backlog, nodes }: DestinationRecord) -> Self {
        let states = || nodes.iter().map(|(_, state)| state);
        let worst = states().map(|state| state.breaker).max_by_key(|breaker| match breaker {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
        });
        let latest = |time: fn(&DestinationState) -> Option<DateTime<Utc>>| {
            states().filter_map(time).max().map(Time::from)
        };
        Self {
            postback_id: postback.postback_id.into(),
            breaker: worst.map(BreakerState::from),
            probe_at: states().filter_map(|state| state.probe_at).min().map(Time::from),
            retry_after_until: latest(|state| state.held_until),
            is_paused: postback.is_paused,
            limits: PostbackLimits::of(postback.max_in_flight, &postback.sending),
            retry: PostbackRetry::of(&postback.sending),
            paused_reason: postback.paused_reason,
            in_flight: states().map(|state| state.in_flight).sum(),
            concurrency: states().map(|state| state.concurrency).sum(),
            backlog: i32::try_from(backlog.deliveries).unwrap_or(i32::MAX),
            oldest_due_at: backlog.oldest_due.map(Time::from),
            consecutive_failures: states().map(|state| state.consecutive_failures).max().unwrap_or(0),
            last_success_at: latest(|state| state.last_success_at),
            last_failure_at: latest(|state| state.last_failure_at),
            nodes: nodes.into_iter().map(DestinationNode::from).collect(),
        }
    }
}

#[derive(Default)]
pub struct DestinationQueries;

#[Object]
impl DestinationQueries {
    /// The destinations of postbacks, newest postback first: breaker, limits, backlog. An advertiser
    /// or partner sees those of its own postbacks. `first` is 50 where it is not given.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn destinations(
        &self,
        ctx: &Context<'_>,
        filter: Option<DestinationsFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Destination>, Failure> {
        const LIST: List = List::Destinations;
        let request = page_request(ctx, LIST, first, after)?;
        let filter = filter.unwrap_or_default().read()?;
        let scope = scope(ctx)?;
        let listing = destination_states::list(&databases(ctx).pool, scope, &filter, &request);
        let mut page = read_store(listing).await?;
        if let Some(services) = ctx.data_opt::<Arc<Services>>() {
            page.rows.iter_mut().for_each(|record| freshen(record, services));
        }
        Ok(connection(LIST, &request, page))
    }
}

/// What this node finds needs no detour over PostgreSQL.
fn freshen(record: &mut DestinationRecord, services: &Services) {
    let postback = PostbackId(record.postback.postback_id);
    if let Some(state) = state_of(&services.slots, postback, services.now()) {
        record.nodes.retain(|(node, _)| *node != services.node);
        record.nodes.push((services.node, state));
        record.nodes.sort_by_key(|(node, _)| *node);
    }
}
