//! Knows every destination's dispatcher: starts them as they are needed, again if one dies, and
//! lets those go that have nothing to do.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use actix::prelude::*;

use super::dispatcher::{ClaimDue, Dispatcher, SendClaimed, release};
use super::held::Held;
use super::outcome_recorder::OutcomeRecorder;
use super::services::Services;
use super::ward::Ward;
use crate::domain::ids::PostbackId;
use crate::outbound::HttpSender;

/// A dispatcher that nobody has needed for so long ends; the next delivery starts another.
const IDLE: Duration = Duration::from_secs(60);
/// Between looks for idle dispatchers.
const SWEEP: Duration = Duration::from_secs(20);
/// One that dies again is started after twice the wait, up to the longest; one that has lived
/// longer than that has recovered.
const FIRST_RESTART: Duration = Duration::from_millis(100);
const LONGEST_RESTART: Duration = Duration::from_secs(5);

/// How many dispatchers are told something before others have a turn. A conversion that a thousand
/// destinations want to hear of does not hold up the next one's only postback, and neither does a look
/// that has found a thousand queues.
const TURN: usize = 16;

/// Bound: its mailbox holds hints only. A hint to send carries as many deliveries as
/// destinations have places; a lost one is made up for by the rescuer.
pub struct DispatcherSupervisor {
    services: Arc<Services>,
    sender: HttpSender,
    outcomes: Addr<OutcomeRecorder>,
    ward: Ward,
    dispatchers: HashMap<PostbackId, Employed>,
    /// Not yet handed on. Bound: what is claimed holds its place, so there is no more of it than places; of
    /// what is due there are the queues of each look that came since the oldest of these hints.
    to_hand_on: VecDeque<Hint>,
}

/// What is left of a hint.
enum Hint {
    Send(vec::IntoIter<Held>),
    Due(vec::IntoIter<PostbackId>),
}

struct Employed {
    dispatcher: Addr<Dispatcher>,
    started_at: Instant,
    needed_at: Instant,
    deaths: u32,
}

/// How long after its start one that has died `deaths` times in a row is started again.
fn restart_wait(deaths: u32) -> Duration {
    FIRST_RESTART.saturating_mul(2u32.saturating_pow(deaths)).min(LONGEST_RESTART)
}

/// Deliveries this node has claimed: to be sent now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Send(pub Vec<Held>);

/// Postbacks with deliveries in PostgreSQL that are due.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Due(pub Vec<PostbackId>);

impl DispatcherSupervisor {
    pub fn new(
        services: Arc<Services>,
        sender: HttpSender,
        outcomes: Addr<OutcomeRecorder>,
        ward: Ward,
    ) -> Self {
        let (dispatchers, to_hand_on) = (HashMap::new(), VecDeque::new());
        Self { services, sender, outcomes, ward, dispatchers, to_hand_on }
    }

    /// None while one that has died must not be started yet.
    fn dispatcher(&mut self, postback: PostbackId) -> Option<&Addr<Dispatcher>> {
        let now = Instant::now();
        let start = || {
            let (services, sender) = (self.services.clone(), self.sender.clone());
            Dispatcher::new(services, postback, sender, self.outcomes.clone(), self.ward.clone()).start()
        };
        let employed = self.dispatchers.entry(postback).or_insert_with(|| Employed {
            dispatcher: start(),
            started_at: now,
            needed_at: now,
            deaths: 0,
        });
        employed.needed_at = now;
        if !employed.dispatcher.connected() {
            let lived = now - employed.started_at;
            if lived < restart_wait(employed.deaths) {
                return None;
            }
            let deaths = if lived > LONGEST_RESTART * 2 { 1 } else { employed.deaths + 1 };
            tracing::error!(%postback, deaths, "a dispatcher died and is started again");
            metrics::counter!("ricochet_dispatcher_restarts_total").increment(1);
            *employed = Employed { dispatcher: start(), started_at: now, needed_at: now, deaths };
        }
        Some(&employed.dispatcher)
    }

    /// Hands on a turn of the hint that has waited longest; what is left of it goes to the end.
    fn hand_on(&mut self, ctx: &mut Context<Self>) {
        if self.services.slots.is_closed() {
            let claimed = self.to_hand_on.drain(..).filter_map(|hint| match hint {
                Hint::Send(claimed) => Some(claimed),
                Hint::Due(_) => None,
            });
            let unsent = claimed.flatten().collect();
            return release(&self.services, unsent);
        }
        let Some(mut hint) = self.to_hand_on.pop_front() else { return };
        let is_left = match &mut hint {
            Hint::Send(claimed) => {
                let unsent = claimed.by_ref().take(TURN).filter_map(|held| self.send(held)).collect();
                release(&self.services, unsent);
                claimed.len() > 0
            }
            Hint::Due(postbacks) => {
                postbacks.by_ref().take(TURN).for_each(|postback| self.wake(postback));
                postbacks.len() > 0
            }
        };
        if is_left {
            self.to_hand_on.push_back(hint);
        }
        if !self.to_hand_on.is_empty() {
            // Behind the dispatchers that have just been given something, and before their next.
            let yielding = tokio::task::yield_now().into_actor(self);
            ctx.spawn(yielding.map(|(), this, ctx| this.hand_on(ctx)));
        }
    }

    /// Back where there is no dispatcher for it at the moment.
    fn send(&mut self, held: Held) -> Option<Held> {
        match self.dispatcher(held.delivery.postback_id) {
            Some(dispatcher) => {
                dispatcher.do_send(SendClaimed(held));
                None
            }
            None => Some(held),
        }
    }

    fn wake(&mut self, postback: PostbackId) {
        // Thousands may be parked; each has its own alarm, or is found by a scan after its time.
        if self.services.slots.of(postback).is_parked() && self.dispatchers.contains_key(&postback) {
            return;
        }
        if let Some(dispatcher) = self.dispatcher(postback) {
            dispatcher.do_send(ClaimDue);
        }
    }

    /// Hands on a hint, behind those that are being handed on.
    fn take(&mut self, hint: Hint, ctx: &mut Context<Self>) {
        self.to_hand_on.push_back(hint);
        if self.to_hand_on.len() == 1 {
            self.hand_on(ctx);
        }
    }

    /// Lets idle dispatchers go: without an address they end by themselves, after what is in
    /// their mailboxes.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let services = &self.services;
        self.dispatchers.retain(|postback, employed| {
            now - employed.needed_at < IDLE || !services.slots.of(*postback).is_idle()
        });
        metrics::gauge!("ricochet_dispatchers").set(self.dispatchers.len() as f64);
        ctx.run_later(SWEEP, Self::sweep);
    }
}

impl Actor for DispatcherSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.sweep(ctx);
    }
}

impl Handler<Send> for DispatcherSupervisor {
    type Result = ();

    fn handle(&mut self, Send(claimed): Send, ctx: &mut Self::Context) {
        self.take(Hint::Send(claimed.into_iter()), ctx);
    }
}

impl Handler<Due> for DispatcherSupervisor {
    type Result = ();

    fn handle(&mut self, Due(postbacks): Due, ctx: &mut Self::Context) {
        self.take(Hint::Due(postbacks.into_iter()), ctx);
    }
}
