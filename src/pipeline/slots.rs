//! Places at destinations: how many requests each may have under way on this node.
//!
//! A conversion whose postback has a free place is written with its delivery already claimed
//! and sent straight after the commit, without a claiming query. Where there is none, or older
//! deliveries wait, the delivery stays in PostgreSQL and is claimed in its turn.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use super::queue_floor::QueueFloor;
use crate::domain::ids::PostbackId;
use crate::domain::postback::Postback;
use crate::store::deliveries::QueuePosition;

#[derive(Default)]
pub struct Slots {
    destinations: RwLock<HashMap<PostbackId, Arc<DestinationSlots>>>,
    is_closed: AtomicBool,
}

#[derive(Default)]
pub struct DestinationSlots {
    taken: AtomicUsize,
    has_backlog: AtomicBool,
    floor: Mutex<QueueFloor<QueuePosition>>,
}

/// One place; given back when dropped.
pub struct Slot(Arc<DestinationSlots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Slot {
    /// Gives the place back and tells whose it was.
    pub fn give_back(self) -> Arc<DestinationSlots> {
        self.0.clone()
    }
}

impl Slots {
    pub fn of(&self, postback: PostbackId) -> Arc<DestinationSlots> {
        let known =
            self.destinations.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&postback).cloned();
        known.unwrap_or_else(|| {
            let mut destinations = self.destinations.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            destinations.entry(postback).or_default().clone()
        })
    }

    /// Gives no more places: the node is stopping, and what comes now is left to others.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Requests under way, over all destinations.
    pub fn taken(&self) -> usize {
        let destinations = self.destinations.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        destinations.values().map(|destination| destination.taken.load(Ordering::Acquire)).sum()
    }

    /// The destinations whose queue is read on from a place, and those that are to be swept.
    pub fn floors(&self, now: Instant) -> (Vec<(PostbackId, QueuePosition)>, Vec<PostbackId>) {
        let destinations = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        let (mut positions, mut to_sweep) = (Vec::new(), Vec::new());
        for (postback, destination) in destinations.iter() {
            let floor = destination.floor();
            match floor.start(now) {
                Some(position) => positions.push((*postback, position)),
                None if floor.is_sweep_due(now) => to_sweep.push(*postback),
                None => {}
            }
        }
        (positions, to_sweep)
    }

    /// A place for a new delivery. None, and the destination is marked as having a backlog,
    /// where it is paused, full, or older deliveries wait.
    pub fn try_take(&self, postback: &Postback) -> Option<Slot> {
        let destination = self.of(postback.postback_id);
        if !postback.paused
            && !self.is_closed()
            && !destination.has_backlog.load(Ordering::Acquire)
            && let Some(slot) = destination.take(postback.max_in_flight)
        {
            return Some(slot);
        }
        destination.has_backlog.store(true, Ordering::Release);
        None
    }
}

impl DestinationSlots {
    /// A place, if fewer than `most` are taken.
    pub fn take(self: &Arc<Self>, most: usize) -> Option<Slot> {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < most).then_some(taken + 1))
            .ok()
            .map(|_| Slot(self.clone()))
    }

    pub fn set_backlog(&self, has_backlog: bool) {
        self.has_backlog.store(has_backlog, Ordering::Release);
    }

    pub fn has_backlog(&self) -> bool {
        self.has_backlog.load(Ordering::Acquire)
    }

    /// Where its deliveries in PostgreSQL are read from.
    pub fn floor(&self) -> MutexGuard<'_, QueueFloor<QueuePosition>> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
