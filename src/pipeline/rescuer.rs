//! Makes up for whatever was lost: renews this node's lease, learns which others live, takes back
//! the claims of dead ones and those it does not know of itself, and wakes dispatchers that have
//! something due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::dispatcher_supervisor::{DispatcherSupervisor, Due};
use super::services::Services;
use crate::domain::ids::{NodeId, PostbackId};
use crate::domain::postback::Postback;
use crate::outbound::attempt;
use crate::store::deliveries::{self, Abandoned, Look};
use crate::store::{StoreError, nodes, outcomes, revisions};

/// How long a node is taken to live after it last said so. What a dead node had in flight is
/// due again within this time and one round.
pub const NODE_LEASE: Duration = Duration::from_secs(6);
/// Between rounds; also the most a retry starts late.
const ROUND: Duration = Duration::from_millis(500);
/// Age of the lease at which it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(2);

/// Of all the time, looking for what is due takes at most one part in this many: after a start
/// in the middle of somebody's long transaction, the queues' dead beginnings are passed over.
const LOOK_SHARE: u32 = 20;
/// But what is due is not left alone for longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Rounds between looks for claims of live nodes whose lease has lapsed, which only an attempt
/// that was lost inside its node leaves behind: a minute.
const LAPSED_EVERY: u32 = 120;

/// Bound: one round at a time.
pub struct Rescuer {
    services: Arc<Services>,
    supervisor: Addr<DispatcherSupervisor>,
    /// `None` until the first round that reached PostgreSQL.
    renewed_at: Option<Instant>,
    next_look: Instant,
    round: u32,
}

/// What a round leaves for the next one.
struct RoundDone {
    renewed_at: Instant,
    next_look: Instant,
}

/// What a round looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    DeadNodes,
    LapsedClaimsToo,
}

impl Rescuer {
    pub fn new(services: Arc<Services>, supervisor: Addr<DispatcherSupervisor>) -> Self {
        Self { services, supervisor, renewed_at: None, next_look: Instant::now(), round: 0 }
    }

    fn next_round(&mut self, ctx: &mut Context<Self>) {
        let services = self.services.clone();
        let supervisor = self.supervisor.clone();
        let (renewed_at, next_look) = (self.renewed_at, self.next_look);
        self.round = self.round.wrapping_add(1);
        let search = match self.round.is_multiple_of(LAPSED_EVERY) {
            true => Search::LapsedClaimsToo,
            false => Search::DeadNodes,
        };
        let round = async move { go_round(&services, &supervisor, renewed_at, next_look, search).await };
        ctx.spawn(round.into_actor(self).map(|result, this, ctx| {
            match result {
                Ok(done) => {
                    this.renewed_at = Some(done.renewed_at);
                    this.next_look = done.next_look;
                }
                Err(error) => tracing::warn!(%error, "a rescue round failed and is tried again"),
            }
            ctx.run_later(ROUND, Self::next_round);
        }));
    }
}

/// Goes one round; the lease first, so that after an outage this node does not take its own
/// claims for a dead one's.
async fn go_round(
    services: &Services,
    supervisor: &Addr<DispatcherSupervisor>,
    renewed_at: Option<Instant>,
    next_look: Instant,
    search: Search,
) -> Result<RoundDone, StoreError> {
    let now = Instant::now();
    let renewed_at = match renewed_at {
        Some(renewed_at) if services.slots.is_closed() || now - renewed_at < RENEW_AFTER => renewed_at,
        _ => {
            nodes::renew(&services.pool, services.node, NODE_LEASE).await?;
            now
        }
    };
    if services.slots.is_closed() {
        return Ok(RoundDone { renewed_at, next_look });
    }
    let nodes::Membership { alive, dead } = nodes::membership(&services.pool, NODE_LEASE).await?;
    metrics::gauge!("ricochet_live_nodes").set(alive.len() as f64);
    services.slots.know_nodes(alive);
    if !dead.is_empty() || search == Search::LapsedClaimsToo {
        rescue(services, &dead).await?;
    }
    services.doubts.settle(&services.pool, services.node).await?;
    let (mut known, to_sweep) = services.slots.floors(now);
    let look = if now >= next_look { Look::All } else { Look::Known };
    let began = Instant::now();
    let mut due = deliveries::due_postbacks(&services.pool, look, &mut known).await?;
    let next_look = match look {
        Look::All => Instant::now() + (began.elapsed() * LOOK_SHARE).min(LONGEST_PAUSE),
        Look::Known => next_look,
    };
    due.extend(to_sweep);
    if !due.is_empty() {
        supervisor.do_send(Due(due));
    }
    metrics::counter!("ricochet_rescue_rounds_total").increment(1);
    Ok(RoundDone { renewed_at, next_look })
}

/// Takes back everything that `dead` nodes, or attempts that never ended, have claimed.
async fn rescue(services: &Services, dead: &[NodeId]) -> Result<(), StoreError> {
    let catalogue = services.catalogue();
    let mut earlier = HashMap::new();
    loop {
        let rescued = outcomes::rescue(&services.pool, dead, async |abandoned: &Abandoned| {
            let delivery = &abandoned.delivery;
            let today = catalogue.postbacks.get(&delivery.postback_id);
            let postback = match (today, delivery.pinned_revision) {
                (Some(today), Some(revision)) if revision != today.revision => {
                    Some(as_it_was(services, &mut earlier, today, revision).await)
                }
                _ => today.cloned(),
            };
            let composite = catalogue.composite_of(delivery.facts.link_id);
            attempt::interrupted(abandoned, postback.as_deref(), composite.as_deref(), services.node)
        })
        .await?;
        if rescued > 0 {
            tracing::warn!(deliveries = rescued, "took over what another node had in flight");
            metrics::counter!("ricochet_attempts_total", "outcome" => "retrying", "error_kind" => "interrupted")
                .increment(rescued as u64);
        }
        if rescued < outcomes::RESCUE_LIMIT {
            break;
        }
    }
    nodes::forget(&services.pool, dead).await
}

/// The postback that a resend of an earlier request was sent by; today's where that cannot be read,
/// as a log row with another request says more than none.
async fn as_it_was(
    services: &Services,
    known: &mut HashMap<(PostbackId, i32), Arc<Postback>>,
    today: &Arc<Postback>,
    revision: i32,
) -> Arc<Postback> {
    let key = (today.postback_id, revision);
    if let Some(earlier) = known.get(&key) {
        return earlier.clone();
    }
    let earlier = match revisions::load(&services.pool, today, revision).await {
        Ok(Some(earlier)) => Arc::new(earlier),
        Ok(None) => today.clone(),
        Err(error) => {
            tracing::warn!(%error, postback = %today.postback_id, revision, "an earlier request is not at hand");
            today.clone()
        }
    };
    known.insert(key, earlier.clone());
    earlier
}

impl Actor for Rescuer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.next_round(ctx);
    }
}
