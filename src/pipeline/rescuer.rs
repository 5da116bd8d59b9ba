//! Makes up for whatever was lost: learns which nodes live, takes back the claims of dead ones and
//! those it does not know of itself, ends those that were dropped, and wakes dispatchers that have
//! something due.
//!
//! ```text
//! a round, twice a second:  who lives? ─► what is due? ─► dispatchers
//!                               │
//!                               ├─► beside it: what a part of this node dropped as it died
//!                               ├─► beside it, one at a time: a repair, which reads the whole queue
//!                               └─► beside it, one at a time: a sweep, see queue_sweeps
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::dispatcher_supervisor::{DispatcherSupervisor, Due};
use super::queue_sweeps::{self, Extent, Outcome, Sweeps};
use super::rescue::rescue;
use super::services::Services;
use crate::domain::ids::NodeId;
use crate::panics::{as_failure, caught};
use crate::store::StoreError;
use crate::store::claims::{Lapsed, Sought};
use crate::store::deliveries::{self, Look};
use crate::store::nodes::{self, Member, Standing};

/// Between rounds; also the most a retry starts late.
const ROUND: Duration = Duration::from_millis(500);

/// Of all the time, looks at queues from their beginnings take at most one part in this many: after a
/// start in the middle of somebody's long transaction, the queues' dead beginnings are passed over.
/// The same holds for repairs that have found nothing new to do.
const LOOK_SHARE: u32 = 20;
/// But what is due is not left alone for longer than this; unless sweeps give every queue a place to
/// be looked at from.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A look that took longer, and than this for each queue that it told of, has passed over so much that all
/// queues are to get a place.
const LONG_LOOK: Duration = Duration::from_millis(50);
const LONG_LOOK_AT_QUEUE: Duration = Duration::from_micros(50);
/// One that has failed after so long was ended by `statement_timeout`, and would be so again.
const GIVEN_UP_LOOK: Duration = Duration::from_secs(25);
/// Rounds between looks for claims of live nodes whose lease has lapsed, which only an attempt
/// that was lost inside its node leaves behind: a minute.
const LAPSED_EVERY: u32 = 120;
/// Least time between repairs for the same dead nodes, which are looked after until they are
/// forgotten.
const REPAIR_AGAIN: Duration = Duration::from_secs(1);

/// Bound: one round at a time, one repair, and one sweep.
pub struct Rescuer {
    services: Arc<Services>,
    supervisor: Addr<DispatcherSupervisor>,
    next_look: Instant,
    sweeps: Sweeps,
    round: u32,
    /// As of the last round that could read them.
    members: Vec<Member>,
    is_settling: bool,
    is_repairing: bool,
    /// The nodes whose claims the last repair took, and when the next one may come for the same.
    repaired: (Vec<NodeId>, Instant),
    lapsed: Lapsed,
}

impl Rescuer {
    pub fn new(services: Arc<Services>, supervisor: Addr<DispatcherSupervisor>) -> Self {
        let now = Instant::now();
        Self {
            services,
            supervisor,
            next_look: now,
            sweeps: Sweeps::new(now),
            round: 0,
            members: Vec::new(),
            is_settling: false,
            is_repairing: false,
            repaired: (Vec::new(), now),
            lapsed: Lapsed::No,
        }
    }

    fn next_round(&mut self, ctx: &mut Context<Self>) {
        if self.services.pool.is_closed() {
            // The node has stopped.
            return;
        }
        self.round = self.round.wrapping_add(1);
        if self.round.is_multiple_of(LAPSED_EVERY) {
            self.lapsed = Lapsed::Too;
        }
        let services = self.services.clone();
        let supervisor = self.supervisor.clone();
        let look = match Instant::now() >= self.next_look {
            true => Look::All,
            false => Look::Known,
        };
        let round = async move {
            let members = as_failure(know_nodes(&services)).await;
            (members, self::look(&services, &supervisor, look).await)
        };
        ctx.spawn(round.into_actor(self).map(move |(members, looked), this, ctx| {
            match members {
                Ok(members) => this.heed(members, ctx),
                Err(error) => tracing::warn!(%error, "who lives could not be read and is read again"),
            }
            if look == Look::All {
                this.heed_burden(&looked);
            }
            if let Err(error) = looked.result {
                tracing::warn!(%error, "a look for what is due failed and is tried again");
            }
            this.settle(ctx);
            this.sweep(ctx);
            ctx.run_later(ROUND, Self::next_round);
        }));
    }

    fn heed(&mut self, members: Vec<Member>, ctx: &mut Context<Self>) {
        if have_given_back(&self.members, &members) {
            self.sweeps.suspect(Instant::now());
        }
        let dead = dead_among(&members, self.services.node, self.services.lease.may_judge_nodes());
        self.members = members;
        self.repair(dead, ctx);
    }

    /// Settles when all queues are looked at next, after a look that was as heavy as this.
    fn heed_burden(&mut self, looked: &Looked) {
        let queues = u32::try_from(looked.queues).unwrap_or(u32::MAX);
        let long = match looked.result {
            Ok(()) => LONG_LOOK + LONG_LOOK_AT_QUEUE.saturating_mul(queues),
            Err(_) => GIVEN_UP_LOOK,
        };
        if looked.took > long {
            self.sweeps.extent = Extent::All;
        } else if looked.result.is_err() {
            // PostgreSQL is away: whatever is due is looked for as soon as it is back.
            return;
        }
        let longest = match self.sweeps.extent {
            Extent::Placed => LONGEST_PAUSE,
            Extent::All => queue_sweeps::LONGEST_PAUSE,
        };
        self.next_look = Instant::now() + (looked.took * LOOK_SHARE).min(longest);
    }

    /// Begins a sweep, unless one is under way or it is not time.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        if self.services.slots.is_closed() || !self.sweeps.begin(Instant::now()) {
            return;
        }
        let services = self.services.clone();
        let supervisor = self.supervisor.clone();
        let extent = self.sweeps.extent;
        let sweeping = async move {
            let sweeping = queue_sweeps::sweep(&services, &supervisor, extent);
            caught(sweeping).await.unwrap_or(Outcome::BrokenOff)
        };
        ctx.spawn(sweeping.into_actor(self).map(|outcome, this, _| {
            if this.sweeps.end(Instant::now(), outcome) {
                this.services.queues.forget();
                // From now on nothing else tells of what is due in them.
                this.next_look = this.next_look.min(Instant::now() + LONGEST_PAUSE);
            }
        }));
    }

    /// Ends the claims that were dropped, and wakes those that can send them.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        if self.is_settling || !self.services.dropped.are_there() {
            return;
        }
        self.is_settling = true;
        let services = self.services.clone();
        let settling = async move { as_failure(services.dropped.settle(&services)).await };
        ctx.spawn(settling.into_actor(self).map(|settled, this, _| {
            this.is_settling = false;
            match settled {
                Ok(postbacks) => this.supervisor.do_send(Due(postbacks)),
                Err(error) => tracing::warn!(%error, "claims that were dropped are ended later"),
            }
        }));
    }

    /// Begins a repair, unless one is under way or there is nothing to do.
    fn repair(&mut self, dead: Vec<NodeId>, ctx: &mut Context<Self>) {
        if self.is_repairing {
            return;
        }
        // Who is stopping leaves it to the others.
        let may_rescue = !self.services.slots.is_closed();
        let lapsed = match self.lapsed {
            Lapsed::Too if self.services.lease.may_judge_claims() => Lapsed::Too,
            _ => Lapsed::No,
        };
        let (repaired, again_at) = &self.repaired;
        let is_new = dead.iter().any(|node| !repaired.contains(node));
        let is_time = !dead.is_empty() && (is_new || Instant::now() >= *again_at);
        let rescues = may_rescue && (is_time || lapsed == Lapsed::Too);
        if !rescues && !self.services.doubts.are_due() {
            return;
        }
        self.is_repairing = true;
        let services = self.services.clone();
        let supervisor = self.supervisor.clone();
        let repairing = async move {
            let began = Instant::now();
            if rescues
                && let Err(error) =
                    as_failure(rescue(&services, &supervisor, Sought { dead: &dead, lapsed })).await
            {
                tracing::warn!(%error, "a rescue failed and is tried again");
            }
            let settled = as_failure(services.doubts.settle(&services.pool, services.node)).await;
            (rescues.then_some(dead), lapsed, began.elapsed(), settled)
        };
        ctx.spawn(repairing.into_actor(self).map(|(rescued, lapsed, took, settled), this, _| {
            this.is_repairing = false;
            match settled {
                Ok(0) => {}
                Ok(_) => this.sweeps.suspect(Instant::now()),
                Err(error) => {
                    tracing::warn!(%error, "claims in doubt could not be looked for and are looked for again");
                }
            }
            if lapsed == Lapsed::Too {
                this.lapsed = Lapsed::No;
            }
            if let Some(dead) = rescued {
                this.repaired =
                    (dead, Instant::now() + REPAIR_AGAIN.max((took * LOOK_SHARE).min(LONGEST_PAUSE)));
            }
        }));
    }
}

/// Learns which nodes there are, and says who shares the destinations. One whose lease has lapsed
/// does not, whether it is dead or cut off: it sends nothing before it has renewed it.
pub async fn know_nodes(services: &Services) -> Result<Vec<Member>, StoreError> {
    let members = nodes::members(&services.pool).await?;
    let shares = |member: &&Member| member.standing == Standing::Serving || member.node == services.node;
    let alive: Vec<NodeId> = members.iter().filter(shares).map(|member| member.node).collect();
    metrics::gauge!("ricochet_live_nodes").set(alive.len() as f64);
    services.slots.know_nodes(alive);
    Ok(members)
}

/// Whose claims are to be taken over. `may_judge`: who has lapsed is dead, and not only cut off as
/// this node was.
fn dead_among(members: &[Member], own: NodeId, may_judge: bool) -> Vec<NodeId> {
    members
        .iter()
        .filter(|member| match member.standing {
            Standing::Serving | Standing::Leaving => false,
            Standing::Lapsed => may_judge,
            Standing::Left => true,
        })
        .map(|member| member.node)
        .filter(|node| *node != own)
        .collect()
}

/// Whether deliveries have come back into the queues from other nodes, before where this one
/// reads: they were taken from a dead node, or a node gave them back as it went.
fn have_given_back(before: &[Member], now: &[Member]) -> bool {
    let goes = |member: &Member| matches!(member.standing, Standing::Leaving | Standing::Left);
    let has_changed = |one: &Member| match now.iter().find(|member| member.node == one.node) {
        None => true,
        Some(member) => {
            member.rescued_at != one.rescued_at || (goes(member) && member.standing != one.standing)
        }
    };
    before.iter().any(has_changed)
}

/// What came of a look for what is due.
struct Looked {
    took: Duration,
    /// Queues that it told of or was told of.
    queues: usize,
    result: Result<(), StoreError>,
}

/// Wakes the dispatchers that have something due.
async fn look(services: &Services, supervisor: &Addr<DispatcherSupervisor>, look: Look) -> Looked {
    if services.slots.is_closed() {
        return Looked { took: Duration::ZERO, queues: 0, result: Ok(()) };
    }
    let began = Instant::now();
    let mut known = services.queues.all();
    let found = as_failure(deliveries::due_postbacks(&services.pool, look, &mut known)).await;
    let took = began.elapsed();
    let (due, result) = match found {
        Ok(due) => (due, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    let queues = known.len() + due.len();
    if !due.is_empty() {
        supervisor.do_send(Due(due));
    }
    if result.is_ok() {
        metrics::counter!("ricochet_rescue_rounds_total").increment(1);
    }
    Looked { took, queues, result }
}

impl Actor for Rescuer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.next_round(ctx);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn member(number: u128, standing: Standing) -> Member {
        Member { node: NodeId(Uuid::from_u128(number)), standing, rescued_at: None }
    }

    #[test]
    fn who_has_lapsed_is_dead_only_where_that_may_be_judged() {
        let members = [
            member(1, Standing::Lapsed),
            member(2, Standing::Lapsed),
            member(3, Standing::Serving),
            member(4, Standing::Leaving),
            member(5, Standing::Left),
        ];
        let node = |number| NodeId(Uuid::from_u128(number));
        assert_eq!(dead_among(&members, node(1), true), [node(2), node(5)]);
        assert_eq!(dead_among(&members, node(1), false), [node(5)]);
    }

    #[test]
    fn what_comes_back_from_others_is_noticed() {
        let serving = [member(1, Standing::Serving), member(2, Standing::Serving)];
        assert!(!have_given_back(&serving, &serving));
        assert!(!have_given_back(&serving[..1], &serving), "one has come");
        assert!(have_given_back(&serving, &serving[..1]), "one has gone");
        let leaving = [serving[0], member(2, Standing::Leaving)];
        assert!(have_given_back(&serving, &leaving));
        assert!(!have_given_back(&leaving, &leaving));
        let lapsed = [serving[0], member(2, Standing::Lapsed)];
        assert!(!have_given_back(&serving, &lapsed), "nobody has taken its claims yet");
        let rescued = [serving[0], Member { rescued_at: Some(chrono::Utc::now()), ..lapsed[1] }];
        assert!(have_given_back(&lapsed, &rescued));
    }
}
