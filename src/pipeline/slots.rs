//! Places at destinations: leave to send a request, for both ways of sending.
//!
//! A conversion whose postback has a free place is written with its delivery already claimed
//! and sent straight after the commit, without a claiming query. Where there is none, or older
//! deliveries wait, the delivery stays in PostgreSQL and is claimed in its turn. Whether there is
//! one is for [`Destination`] to say; here stand the clock, the locks and the sums over all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::lease_keeper::NodeLease;
use crate::domain::destination::crowd::Crowd;
use crate::domain::destination::moment::Moment;
use crate::domain::destination::news::{Telling, Told};
use crate::domain::destination::share::Share;
use crate::domain::destination::signal::Signal;
use crate::domain::destination::{Change, Destination, Permit, Snapshot, Use, Wait};
use crate::domain::ids::{NodeId, PostbackId};
use crate::domain::postback::{Postback, Reading};

pub struct Slots {
    node: NodeId,
    /// Most requests under way over all destinations.
    capacity: usize,
    common: Arc<Common>,
    /// The nodes that are alive, as of the last look.
    alive: ArcSwap<Vec<NodeId>>,
    destinations: RwLock<HashMap<PostbackId, Arc<DestinationSlots>>>,
    is_closed: AtomicBool,
}

struct Common {
    started: Instant,
    lease: Arc<NodeLease>,
    taken: AtomicUsize,
}

/// Bound: one of fixed size for each postback that was ever sent to.
pub struct DestinationSlots {
    common: Arc<Common>,
    state: Mutex<Destination>,
    has_backlog: AtomicBool,
}

/// A claim was not come to in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

/// One place; given back when dropped.
pub struct Slot {
    destination: Arc<DestinationSlots>,
    permit: Permit,
    /// Before its delivery was claimed.
    taken_at: Instant,
    sent_at: Option<Moment>,
}

impl Slot {
    /// Waits for its turn at the wire, and comes back just before the request is to be sent; `Err`
    /// where it must not be sent any more, since its delivery may be another node's by now.
    pub async fn begin_in_time(&mut self) -> Result<(), TooLate> {
        loop {
            let left = self.destination.common.lease.time_to_send(self.taken_at).ok_or(TooLate)?;
            match self.begin() {
                Ok(()) => return Ok(()),
                Err(wait) if wait < left => tokio::time::sleep(wait).await,
                Err(_) => return Err(TooLate),
            }
        }
    }

    /// The request is about to be sent; or it has to wait this long first.
    fn begin(&mut self) -> Result<(), Duration> {
        let now = self.destination.common.now();
        self.destination.lock().may_begin(now).map_err(|moment| moment.since(now))?;
        self.sent_at = Some(now);
        Ok(())
    }

    /// Tells the destination what came of the request.
    pub fn heard(&self, signal: Signal) -> Option<Change> {
        let now = self.destination.common.now();
        let sent_at = self.sent_at.unwrap_or(now);
        self.destination.lock().heard(self.permit, signal, sent_at, now, rand::random())
    }

    /// Whether its request may have been sent.
    pub fn is_begun(&self) -> bool {
        self.sent_at.is_some()
    }

    /// Whether its destination is.
    pub fn is_well(&self) -> bool {
        self.destination.is_well()
    }

    /// Whether a delivery waits for a place there.
    pub fn is_wanted(&self) -> bool {
        self.destination.has_backlog()
    }

    /// Gives the place back and tells whose it was.
    pub fn give_back(self) -> Arc<DestinationSlots> {
        self.destination.clone()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let use_made = if self.sent_at.is_some() { Use::Sent } else { Use::Unused };
        self.destination.lock().give_back(self.permit, use_made);
        self.destination.common.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Common {
    fn now(&self) -> Moment {
        Moment(self.started.elapsed())
    }
}

impl Slots {
    /// `capacity`: most requests of this node under way, over all destinations.
    pub fn new(node: NodeId, lease: Arc<NodeLease>, capacity: usize) -> Self {
        Self {
            node,
            capacity,
            common: Arc::new(Common { started: Instant::now(), lease, taken: AtomicUsize::new(0) }),
            alive: ArcSwap::from_pointee(vec![node]),
            destinations: RwLock::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Says which nodes share the destinations from now on.
    pub fn know_nodes(&self, alive: Vec<NodeId>) {
        if **self.alive.load() != alive {
            self.alive.store(Arc::new(alive));
        }
    }

    /// None where nobody has asked for it since the node started.
    pub fn known(&self, postback: PostbackId) -> Option<Arc<DestinationSlots>> {
        self.destinations.read().unwrap_or_else(PoisonError::into_inner).get(&postback).cloned()
    }

    pub fn of(&self, postback: PostbackId) -> Arc<DestinationSlots> {
        self.known(postback).unwrap_or_else(|| {
            let mut destinations = self.destinations.write().unwrap_or_else(PoisonError::into_inner);
            let made = || {
                Arc::new(DestinationSlots {
                    common: self.common.clone(),
                    state: Mutex::default(),
                    has_backlog: AtomicBool::new(false),
                })
            };
            destinations.entry(postback).or_insert_with(made).clone()
        })
    }

    /// Every destination that was sent to or asked for.
    pub fn all(&self) -> Vec<(PostbackId, Arc<DestinationSlots>)> {
        let destinations = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        destinations.iter().map(|(id, destination)| (*id, destination.clone())).collect()
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
        self.common.taken.load(Ordering::Acquire)
    }

    /// A place for a new delivery. None, and the destination is marked as having a backlog,
    /// where it may not be sent to now, or not by this node, or older deliveries wait.
    pub fn try_take(&self, postback: &Postback) -> Option<Slot> {
        let destination = self.of(postback.postback_id);
        if !postback.paused
            && postback.reading == Reading::Whole
            && !self.is_closed()
            && !destination.has_backlog()
            && let Ok(slot) = self.admit(&destination, postback)
        {
            return Some(slot);
        }
        destination.set_backlog(true);
        None
    }

    /// What [`Slots::admit`] would say, `None` where it would give a place.
    pub fn refusal(&self, destination: &DestinationSlots, postback: &Postback) -> Option<Wait> {
        if !self.common.lease.is_held() {
            return Some(Wait::Elsewhere);
        }
        let mut copy = destination.lock().clone();
        copy.admit(self.share(postback), self.crowd(), self.common.now()).err()
    }

    fn share(&self, postback: &Postback) -> Share {
        postback.limits().share(self.node, &self.alive.load(), postback.postback_id)
    }

    fn crowd(&self) -> Crowd {
        Crowd { taken: self.taken(), capacity: self.capacity }
    }

    /// A place, or when to ask again. None while the node's lease is not held: what it claimed then would
    /// be taken over by the others, as attempts that may have been sent.
    pub fn admit(&self, destination: &Arc<DestinationSlots>, postback: &Postback) -> Result<Slot, Wait> {
        if !self.common.lease.is_held() {
            return Err(Wait::Elsewhere);
        }
        let share = self.share(postback);
        let taken_at = Instant::now();
        // Three threads ask at most, the lanes', the ward's and the dispatchers': the bound may be passed by two.
        let crowd = self.crowd();
        let permit = destination.lock().admit(share, crowd, self.common.now())?;
        self.common.taken.fetch_add(1, Ordering::AcqRel);
        Ok(Slot { destination: destination.clone(), permit, taken_at, sent_at: None })
    }
}

impl DestinationSlots {
    fn lock(&self) -> MutexGuard<'_, Destination> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_backlog(&self, has_backlog: bool) {
        self.has_backlog.store(has_backlog, Ordering::Release);
    }

    pub fn has_backlog(&self) -> bool {
        self.has_backlog.load(Ordering::Acquire)
    }

    pub fn lift_hold(&self) {
        self.lock().lift_hold();
    }

    /// Whether asking for a place is in vain for now, whatever else is free.
    pub fn is_parked(&self) -> bool {
        self.lock().parked_until(self.common.now()).is_some()
    }

    /// Whether it answered when it was last heard of, and is not silent.
    pub fn is_well(&self) -> bool {
        self.lock().is_well(self.common.now())
    }

    /// Whether nothing is known of it yet, good or bad.
    pub fn is_untried(&self) -> bool {
        self.lock().is_untried()
    }

    pub fn is_idle(&self) -> bool {
        self.lock().taken() == 0
    }

    /// What the other nodes are to be told; see [`super::destination_exchange`].
    pub fn tell(&self) -> Option<Telling> {
        self.lock().tell(self.common.now())
    }

    pub fn tell_again(&self, telling: Telling) {
        self.lock().tell_again(telling);
    }

    pub fn hear_told(&self, told: Told) -> Vec<Change> {
        self.lock().hear_told(told, self.common.now())
    }

    /// How long from now until `moment`; zero where it has passed.
    pub fn until(&self, moment: Moment) -> Duration {
        moment.since(self.common.now())
    }

    /// The state, and the moment it is of.
    pub fn snapshot(&self) -> (Snapshot, Moment) {
        let now = self.common.now();
        (self.lock().snapshot(now), now)
    }
}
