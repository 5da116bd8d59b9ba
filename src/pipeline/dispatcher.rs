//! One destination's dispatcher: sends what it has claimed, each attempt a task of its own.
//!
//! It keeps nothing but what is under way, at most `max_in_flight` deliveries; the backlog
//! stays in PostgreSQL and is claimed as places become free.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;

use super::outcome_recorder::{AttemptMade, OutcomeRecorder};
use super::services::Services;
use super::slots::{DestinationSlots, Slot};
use crate::domain::ids::PostbackId;
use crate::domain::postback::Postback;
use crate::outbound::{HttpSender, attempt};
use crate::store::deliveries::{self, ClaimedDelivery};
use crate::store::outcomes::AttemptRecord;
use crate::store::{StoreError, revisions};

/// Most deliveries claimed by one query.
const CLAIM_LIMIT: usize = 100;

pub struct Dispatcher {
    services: Arc<Services>,
    postback_id: PostbackId,
    slots: Arc<DestinationSlots>,
    sender: HttpSender,
    outcomes: Addr<OutcomeRecorder>,
    is_claiming: bool,
    /// A hint came while a claim was under way.
    claim_again: bool,
}

/// Send a delivery this node has claimed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SendClaimed {
    pub delivery: ClaimedDelivery,
    pub slot: Slot,
}

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
    ) -> Self {
        let slots = services.slots.of(postback_id);
        Self { services, postback_id, slots, sender, outcomes, is_claiming: false, claim_again: false }
    }

    fn postback(&self) -> Option<Arc<Postback>> {
        self.services.catalogue().postbacks.get(&self.postback_id).cloned()
    }

    fn send(&self, delivery: ClaimedDelivery, slot: Slot, ctx: &Context<Self>) {
        let Some(postback) = self.postback() else {
            // Not in the catalogue yet: the lease lapses and it is claimed again.
            tracing::warn!(postback = %self.postback_id, "a delivery's postback is not in the catalogue");
            return;
        };
        let node = self.services.node;
        let sender = self.sender.clone();
        let outcomes = self.outcomes.clone();
        let freed = ctx.address();
        let services = self.services.clone();
        actix::spawn(async move {
            let attempting = async {
                match as_pinned(&services, &postback, &delivery).await {
                    Some(pinned) => attempt::make(&sender, &pinned, &delivery, node).await,
                    None => attempt::panicked(&postback, &delivery, node),
                }
            };
            // A panic is one failed attempt, not a dead dispatcher.
            let record: AttemptRecord = match AssertUnwindSafe(attempting).catch_unwind().await {
                Ok(record) => record,
                Err(_) => attempt::panicked(&postback, &delivery, node),
            };
            outcomes.do_send(AttemptMade { record, slot, freed });
        });
    }

    fn claim(&mut self, ctx: &mut Context<Self>) {
        if self.is_claiming {
            self.claim_again = true;
            return;
        }
        let Some(postback) = self.postback().filter(|postback| !postback.paused) else {
            return;
        };
        if self.services.slots.is_closed() {
            return;
        }
        let mut slots = Vec::new();
        while slots.len() < CLAIM_LIMIT
            && let Some(slot) = self.slots.take(postback.max_in_flight)
        {
            slots.push(slot);
        }
        if slots.is_empty() {
            // Every place is taken; the next one that is given back brings us here again.
            self.slots.set_backlog(true);
            return;
        }
        self.is_claiming = true;
        let services = self.services.clone();
        let postback_id = self.postback_id;
        let claiming = async move {
            let claimed = deliveries::claim(&services.pool, services.node, postback_id, slots.len()).await;
            (claimed, slots)
        };
        ctx.spawn(claiming.into_actor(self).map(|(claimed, slots), this, ctx| {
            this.is_claiming = false;
            let claimed = claimed.unwrap_or_else(|error| {
                tracing::warn!(%error, postback = %this.postback_id, "nothing could be claimed");
                Vec::new()
            });
            let is_full = claimed.len() == slots.len();
            this.slots.set_backlog(is_full);
            for (delivery, slot) in claimed.into_iter().zip(slots) {
                this.send(delivery, slot, ctx);
            }
            if is_full || std::mem::take(&mut this.claim_again) {
                this.claim(ctx);
            }
        }));
    }
}

/// Between tries to read an earlier request while PostgreSQL is away.
const REVISION_WAIT: Duration = Duration::from_millis(250);

/// The postback, with the request of an earlier revision where the delivery is bound to one;
/// `None` where that cannot be read: today's request would be another than was asked for. While
/// PostgreSQL is away it waits. Should the claim lapse over it, the attempt is another node's and
/// this one is not recorded.
async fn as_pinned(
    services: &Services,
    postback: &Arc<Postback>,
    delivery: &ClaimedDelivery,
) -> Option<Arc<Postback>> {
    let Some(revision) = delivery.pinned_revision.filter(|revision| *revision != postback.revision) else {
        return Some(postback.clone());
    };
    loop {
        match revisions::load(&services.pool, postback, revision).await {
            Ok(Some(earlier)) => return Some(Arc::new(earlier)),
            Err(StoreError::Unavailable(_) | StoreError::Raced(_)) => {
                tokio::time::sleep(REVISION_WAIT).await;
            }
            Ok(None) => {
                tracing::error!(postback = %postback.postback_id, revision, "an earlier request was not kept");
                return None;
            }
            Err(error) => {
                tracing::error!(%error, postback = %postback.postback_id, revision, "an earlier request is unreadable");
                return None;
            }
        }
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;
}

impl Handler<SendClaimed> for Dispatcher {
    type Result = ();

    fn handle(&mut self, SendClaimed { delivery, slot }: SendClaimed, ctx: &mut Self::Context) {
        self.send(delivery, slot, ctx);
    }
}

impl Handler<ClaimDue> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: ClaimDue, ctx: &mut Self::Context) {
        self.claim(ctx);
    }
}
