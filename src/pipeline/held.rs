//! What this node has claimed: a delivery with its place, until its claim is ended.
//!
//! A claim ends where its attempt is recorded, or where it is given back unsent. One that is dropped
//! before that (a dispatcher died with it in its mailbox, a task panicked with it in its hands) would
//! lie until its lease ends, in two minutes. So it says so as it is dropped, and the rescuer ends it in
//! its next round.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outcome_recorder;
use super::services::Services;
use super::slots::{DestinationSlots, Slot};
use crate::domain::ids::PostbackId;
use crate::outbound::attempt;
use crate::panics::as_failure;
use crate::store::deliveries::{self, ClaimedDelivery};
use crate::store::outcomes::AttemptRecord;
use crate::store::{StoreError, outcomes};

/// A delivery this node has claimed, and its place at the destination.
pub struct Held {
    pub delivery: ClaimedDelivery,
    /// `None` once the claim is ended.
    slot: Option<Slot>,
    services: Arc<Services>,
}

impl Held {
    /// For a claim that stands in PostgreSQL.
    pub fn new(services: &Arc<Services>, delivery: ClaimedDelivery, slot: Slot) -> Self {
        Self { delivery, slot: Some(slot), services: services.clone() }
    }

    pub fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("it is there until the claim is ended")
    }

    pub fn slot_mut(&mut self) -> &mut Slot {
        self.slot.as_mut().expect("it is there until the claim is ended")
    }

    /// The claim is ended: gives its place back and tells whose that was.
    pub fn end(mut self) -> Arc<DestinationSlots> {
        self.slot.take().expect("a claim ends once").give_back()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let is_begun = slot.is_begun();
            self.services.dropped.lock().push(Dropped { delivery: self.delivery.clone(), is_begun });
        }
    }
}

/// Claims that were dropped before they were ended. Bound: as many as there are places, for each round
/// of the rescuer.
#[derive(Debug, Default)]
pub struct DroppedClaims(Mutex<Vec<Dropped>>);

#[derive(Debug)]
struct Dropped {
    delivery: ClaimedDelivery,
    /// Its request may have been sent.
    is_begun: bool,
}

impl DroppedClaims {
    pub fn are_there(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Ends them: what was not begun is due at once, as if it had never been claimed; of the rest one
    /// attempt has failed. Returns whose they were.
    pub async fn settle(&self, services: &Services) -> Result<Vec<PostbackId>, StoreError> {
        let (begun, unsent): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *self.lock()).into_iter().partition(|dropped| dropped.is_begun);
        if begun.is_empty() && unsent.is_empty() {
            return Ok(Vec::new());
        }
        tracing::error!(
            unsent = unsent.len(),
            begun = begun.len(),
            "claims were dropped by what an internal error has ended; they are given back, or tried again"
        );
        let places: Vec<_> = begun
            .iter()
            .chain(&unsent)
            .map(|one| (one.delivery.postback_id, one.delivery.position()))
            .collect();
        let mut postbacks: Vec<_> = places.iter().map(|(postback, _)| *postback).collect();
        postbacks.sort_unstable();
        postbacks.dedup();
        let released = self.release(services, unsent).await;
        // Singly: should PostgreSQL refuse one, it keeps none of the others.
        let mut recorded = Ok(());
        for dropped in begun {
            match as_failure(record(services, &dropped.delivery)).await {
                Ok(()) => {}
                // It would again: its lease is left to lapse.
                Err(error @ StoreError::Panicked(_)) => recorded = Err(error),
                Err(error) => {
                    self.lock().push(dropped);
                    recorded = Err(error);
                }
            }
        }
        for (postback, position) in places {
            services.queues.put_back(postback, position);
        }
        released.and(recorded).map(|()| postbacks)
    }

    async fn release(&self, services: &Services, unsent: Vec<Dropped>) -> Result<(), StoreError> {
        let claims: Vec<_> =
            unsent.iter().map(|one| (one.delivery.delivery_id, one.delivery.fence)).collect();
        if claims.is_empty() {
            return Ok(());
        }
        let released = deliveries::release(&services.pool, services.node, &claims).await;
        if released.is_err() {
            self.lock().extend(unsent);
        }
        released.map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Dropped>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn record(services: &Services, delivery: &ClaimedDelivery) -> Result<(), StoreError> {
    let catalogue = services.catalogue();
    let Some(postback) = catalogue.postbacks.get(&delivery.postback_id) else {
        // It was there when the attempt began, and postbacks do not go.
        let claim = [(delivery.delivery_id, delivery.fence)];
        return deliveries::release(&services.pool, services.node, &claim).await.map(drop);
    };
    let records: [AttemptRecord; 1] = [attempt::panicked(postback, delivery, services.node)];
    let superseded = outcomes::record(&services.pool, services.node, services.now(), &records).await?;
    outcome_recorder::note(services, &records, superseded);
    Ok(())
}
