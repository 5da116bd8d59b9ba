//! One destination's dispatcher: sends what it has claimed, each attempt a task of its own.
//!
//! It keeps nothing but what is under way, at most its share of `max_in_flight` deliveries; the
//! backlog stays in PostgreSQL and is claimed as places become free. When and how much is for
//! [`crate::domain::destination`] to decide; where that says "not before", the dispatcher sleeps
//! until exactly then.
//!
//! Destinations that are known to be well are sent to from its own thread, the others from the
//! [`Ward`].

use std::sync::Arc;

use actix::prelude::*;
use chrono::TimeDelta;

use super::bound_request::as_bound;
use super::claim_desk::{claim_alone, claim_with_others};
use super::held::Held;
use super::outcome_recorder::{AttemptMade, OutcomeRecorder};
use super::queue_floor::Reading;
use super::services::Services;
use super::slots::{DestinationSlots, TooLate};
use super::until_answered::until_answered;
use super::ward::Ward;
use crate::domain::catalogue::Catalogue;
use crate::domain::destination::moment::Moment;
use crate::domain::destination::signal::Signal;
use crate::domain::destination::{Change, Wait};
use crate::domain::ids::PostbackId;
use crate::domain::postback::Postback;
use crate::outbound::{HttpSender, attempt};
use crate::panics::caught;
use crate::store::deliveries::{self, QueuePosition};
use crate::store::pausing;
use crate::store::queue_claims::{QueueAsk, QueueClaim};

/// How long after its due time a new delivery may become visible to others, usually.
pub const HORIZON_SLACK: TimeDelta = TimeDelta::milliseconds(500);
/// Most deliveries claimed from a queue at once.
const CLAIM_LIMIT: usize = 100;

pub struct Dispatcher {
    services: Arc<Services>,
    postback_id: PostbackId,
    slots: Arc<DestinationSlots>,
    sender: HttpSender,
    outcomes: Addr<OutcomeRecorder>,
    ward: Ward,
    is_claiming: bool,
    /// It is to claim when its turn comes.
    awaits_turn: bool,
    /// A hint came while a claim was under way.
    claim_again: bool,
    alarm: Option<(Moment, SpawnHandle)>,
}

/// Send a delivery this node has claimed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SendClaimed(pub Held);

/// There may be something due, or a place has become free.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClaimDue;

impl Dispatcher {
    pub fn new(
        services: Arc<Services>,
        postback_id: PostbackId,
        sender: HttpSender,
        outcomes: Addr<OutcomeRecorder>,
        ward: Ward,
    ) -> Self {
        let slots = services.slots.of(postback_id);
        Self {
            services,
            postback_id,
            slots,
            sender,
            outcomes,
            ward,
            is_claiming: false,
            awaits_turn: false,
            claim_again: false,
            alarm: None,
        }
    }

    fn postback(&self) -> Option<Arc<Postback>> {
        self.services.catalogue().postbacks.get(&self.postback_id).cloned()
    }

    /// Sends what was claimed, or gives it back where this node cannot send it now.
    fn send(&self, claimed: Vec<Held>, ctx: &Context<Self>) {
        tracing::trace!(postback = %self.postback_id, deliveries = claimed.len(), "to be sent");
        let catalogue = self.services.catalogue();
        let postback =
            catalogue.postbacks.get(&self.postback_id).filter(|_| !self.services.slots.is_closed());
        let Some(postback) = postback else {
            return release(&self.services, claimed);
        };
        for held in claimed {
            self.attempt(postback.clone(), catalogue.clone(), held, ctx.address());
        }
    }

    fn attempt(&self, postback: Arc<Postback>, catalogue: Arc<Catalogue>, mut held: Held, freed: Addr<Self>) {
        let services = self.services.clone();
        let ward = (!self.slots.is_well()).then(|| self.ward.clone());
        let arbiter = ward.as_ref().map(|ward| ward.arbiter.clone());
        let sender = ward.as_ref().map_or(&self.sender, |ward| &ward.sender).clone();
        let outcomes = self.outcomes.clone();
        let attempt = async move {
            let node = services.node;
            let attempting = async {
                if let Some(ward) = ward {
                    ward.turn_to_send().await;
                }
                let (event, facts) = (held.delivery.event, &held.delivery.facts);
                if held.delivery.is_unjudged
                    && let Err(unmet) = postback.admits(event, facts, &catalogue)
                {
                    let record = attempt::not_admitted(&postback, &held.delivery, &unmet, node);
                    return Ok((record, Signal::Nothing));
                }
                let bound = as_bound(&services, &postback, &catalogue, &held.delivery).await;
                held.slot_mut().begin_in_time().await?;
                Ok(match bound {
                    Some((postback, background)) => {
                        attempt::make(&sender, &postback, &background, &held.delivery, node).await
                    }
                    None => (attempt::panicked(&postback, &held.delivery, node), Signal::Nothing),
                })
            };
            // A panic is one failed attempt, not a dead dispatcher.
            let (record, signal) = match caught(attempting).await {
                Ok(Ok(made)) => made,
                Ok(Err(TooLate)) => return release(&services, vec![held]),
                Err(error) => {
                    let Held { delivery, .. } = &held;
                    tracing::error!(%error, postback = %postback.postback_id, delivery = %delivery.delivery_id, "an attempt failed");
                    (attempt::panicked(&postback, delivery, node), Signal::Nothing)
                }
            };
            // Nor does one over what it says of the destination undo what was made.
            let heeding = heed(&services, &postback, &held, signal);
            if let Err(error) = caught(heeding).await {
                tracing::error!(%error, postback = %postback.postback_id, "an answer is not heeded");
            }
            outcomes.do_send(AttemptMade { record, held, freed });
        };
        match arbiter {
            None => drop(actix::spawn(attempt)),
            // Where that thread has ended, so has the server; else the claim is given back.
            Some(arbiter) => drop(arbiter.spawn(attempt)),
        }
    }

    /// Claims what is due, as far as there are places; in turns, where the destination has failed or has
    /// not answered yet.
    fn claim(&mut self, ctx: &mut Context<Self>) {
        if self.is_claiming {
            self.claim_again = true;
            return;
        }
        let Some(postback) = self.open_postback(ctx) else { return };
        if self.slots.is_well() || self.slots.is_untried() {
            // Also where it has become well while it waited for its turn.
            self.awaits_turn = false;
            return self.claim_now(&postback, ctx);
        }
        if std::mem::replace(&mut self.awaits_turn, true) {
            return;
        }
        let ward = self.ward.clone();
        let turn = async move { ward.turn_to_claim().await };
        ctx.spawn(turn.into_actor(self).map(|(), this, ctx| {
            if std::mem::take(&mut this.awaits_turn)
                && let Some(postback) = this.open_postback(ctx)
            {
                this.claim_now(&postback, ctx);
            }
        }));
    }

    /// The postback, where there is a place for one of its deliveries.
    fn open_postback(&mut self, ctx: &mut Context<Self>) -> Option<Arc<Postback>> {
        let postback = self.postback().filter(|postback| !postback.paused)?;
        if self.services.slots.is_closed() {
            return None;
        }
        match self.services.slots.refusal(&self.slots, &postback) {
            None => Some(postback),
            Some(wait) => {
                self.put_off(wait, ctx);
                None
            }
        }
    }

    fn put_off(&mut self, wait: Wait, ctx: &mut Context<Self>) {
        self.slots.set_backlog(true);
        match wait {
            Wait::Until(moment) | Wait::Parked(moment) => self.wake_at(moment, ctx),
            // The next place that is given back brings us here again, or the rescuer does.
            Wait::Full | Wait::Crowded | Wait::Elsewhere => {}
        }
    }

    fn claim_now(&mut self, postback: &Postback, ctx: &mut Context<Self>) {
        let mut slots = Vec::new();
        let mut refusal = None;
        while slots.len() < CLAIM_LIMIT && refusal.is_none() {
            match self.services.slots.admit(&self.slots, postback) {
                Ok(slot) => slots.push(slot),
                Err(wait) => refusal = Some(wait),
            }
        }
        if slots.is_empty() {
            if let Some(wait) = refusal {
                self.put_off(wait, ctx);
            }
            return;
        }
        self.is_claiming = true;
        let services = self.services.clone();
        let postback_id = self.postback_id;
        let horizon = QueuePosition::before(services.now() - HORIZON_SLACK);
        let from = services.queues.begin(postback_id);
        let asked_for = slots.len();
        let ask =
            QueueAsk { postback: postback_id, places: asked_for, from, fence: deliveries::draw_fence() };
        // Who is well does not wait for others.
        let desk = (!self.slots.is_well()).then(|| self.ward.desk.clone());
        let claiming = async move {
            let asked = services.doubts.of_queue(ask.fence);
            let claimed = match desk {
                Some(desk) => claim_with_others(&desk, ask).await,
                None => claim_alone(&services, ask).await,
            };
            if !claimed.as_ref().is_err_and(|error| error.is_in_doubt()) {
                asked.is_answered();
            }
            claimed.map(|QueueClaim { deliveries, taken, took }| {
                // Places for which there was nothing are given back here, unused.
                let held = deliveries.into_iter().zip(slots);
                let held = held.map(|(delivery, slot)| Held::new(&services, delivery, slot));
                (held.collect::<Vec<_>>(), taken, took)
            })
        };
        ctx.spawn(claiming.into_actor(self).map(move |claimed, this, ctx| {
            this.is_claiming = false;
            let Ok((claimed, taken, took)) = claimed else {
                // What waits is not known; the rescuer's next hint asks again.
                this.claim_again = false;
                return this.slots.set_backlog(true);
            };
            let is_full = taken == asked_for;
            this.slots.set_backlog(is_full);
            let reached = claimed.last().map(|held| held.delivery.position());
            let reading = Reading { from, reached, horizon, is_full, took };
            this.services.queues.note(postback_id, reading);
            this.send(claimed, ctx);
            if std::mem::take(&mut this.claim_again) || is_full {
                this.claim(ctx);
            }
        }));
    }

    /// Asks again at `moment`, unless that is arranged already.
    fn wake_at(&mut self, moment: Moment, ctx: &mut Context<Self>) {
        if let Some((armed, alarm)) = self.alarm.take() {
            if armed <= moment {
                self.alarm = Some((armed, alarm));
                return;
            }
            ctx.cancel_future(alarm);
        }
        let alarm = ctx.run_later(self.slots.until(moment), |this, ctx| {
            this.alarm = None;
            this.claim(ctx);
        });
        self.alarm = Some((moment, alarm));
    }
}

/// Gives claims back whose attempts were not begun, so that they are due at once, here or at
/// another node.
pub fn release(services: &Arc<Services>, claimed: Vec<Held>) {
    if claimed.is_empty() {
        return;
    }
    let services = services.clone();
    actix::spawn(async move {
        // Their places are held until it is done: a node that stops waits for them.
        let unsent: Vec<_> =
            claimed.iter().map(|held| (held.delivery.delivery_id, held.delivery.fence)).collect();
        let released = until_answered(|| deliveries::release(&services.pool, services.node, &unsent)).await;
        if let Err(error) = &released {
            tracing::error!(%error, deliveries = unsent.len(), "claims are left to lapse");
        }
        for held in claimed {
            services.queues.put_back(held.delivery.postback_id, held.delivery.position());
            held.end();
        }
        if released.is_ok() {
            tracing::info!(deliveries = unsent.len(), "gave back claims that were not sent");
        }
    });
}

/// What an answer says of its destination.
async fn heed(services: &Services, postback: &Postback, held: &Held, signal: Signal) {
    if let Some(change) = held.slot().heard(signal) {
        tell(postback.postback_id, change);
        services.exchange.tell(postback.postback_id);
    }
    if signal == Signal::Gone {
        pause(services, postback.postback_id).await;
    }
}

/// Pauses a postback whose destination is gone, before that is recorded: nothing else is sent
/// there in between, for the destination is held back meanwhile.
async fn pause(services: &Services, postback: PostbackId) {
    let paused = until_answered(|| pausing::pause_gone(&services.pool, postback)).await;
    match paused {
        Ok(pausing::Paused::Now) => {
            tracing::warn!(%postback, "answered 410 (gone): the postback is paused until it is resumed");
        }
        Ok(pausing::Paused::Before) => {}
        Err(error) => {
            tracing::error!(%error, %postback, "a postback that answered 410 (gone) could not be paused");
            return;
        }
    }
    match services.refresh_catalogue().await {
        // From now on the catalogue says it, and what resumes it takes effect at once.
        Ok(()) => services.slots.of(postback).lift_hold(),
        Err(error) => tracing::warn!(%error, "a pause is seen a little later"),
    }
}

fn tell(postback: PostbackId, change: Change) {
    let to = match change {
        Change::Opened { probe_in, failures } => {
            let probe_in_ms = probe_in.as_millis();
            tracing::warn!(
                %postback,
                failures,
                probe_in_ms,
                "a destination keeps failing: its deliveries wait, and one is sent to probe it"
            );
            "open"
        }
        Change::Closed => {
            tracing::info!(%postback, "a destination is well again: its deliveries go on, the oldest first");
            "closed"
        }
        Change::Held { .. } => {
            tracing::info!(%postback, "a destination asks to be left alone for a while (Retry-After)");
            "held"
        }
    };
    metrics::counter!("ricochet_destination_changes_total", "to" => to).increment(1);
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        tracing::debug!(postback = %self.postback_id, "a dispatcher is at work");
    }
}

impl Handler<SendClaimed> for Dispatcher {
    type Result = ();

    fn handle(&mut self, SendClaimed(held): SendClaimed, ctx: &mut Self::Context) {
        self.send(vec![held], ctx);
    }
}

impl Handler<ClaimDue> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: ClaimDue, ctx: &mut Self::Context) {
        self.claim(ctx);
    }
}
