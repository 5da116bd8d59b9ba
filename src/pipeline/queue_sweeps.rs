//! Sweeps through queues from their beginnings, for what was left behind where they are read on
//! from: see [`super::queue_places`].
//!
//! Where PostgreSQL could not clear away for hours, one sweep may take minutes. So there is one at
//! a time for all queues, beside everything else, and a long pause after it.

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::dispatcher::HORIZON_SLACK;
use super::dispatcher_supervisor::{DispatcherSupervisor, Due};
use super::services::Services;
use crate::domain::ids::PostbackId;
use crate::store::StoreError;
use crate::store::deliveries::{self, QueuePosition};

/// Least time between sweeps.
const EVERY: Duration = Duration::from_secs(1);
/// Of all the time, sweeps take at most one part in this many, up to the longest pause.
const SHARE: u32 = 20;
/// Most time between them.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A sweep that took no longer, and this for each queue, passed over nothing worth a place.
const CHEAP: Duration = Duration::from_millis(10);
const CHEAP_QUEUE: Duration = Duration::from_micros(50);

/// Queues that one statement goes through: at first, and at most. Fewer follow on a statement that
/// took long, more on a short one.
const FIRST_STEP: usize = 1;
const LARGEST_STEP: usize = 1_024;
const SHORT_STEP: Duration = Duration::from_millis(20);
const LONG_STEP: Duration = Duration::from_millis(200);

/// Which queues are swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those that are read on from a place; the others are always read from their beginning.
    Placed,
    /// All, so that each gets a place: reading them from their beginnings has become a burden.
    All,
}

/// When there is a sweep, and of what.
#[derive(Debug)]
pub struct Sweeps {
    pub extent: Extent,
    next: Instant,
    began: Option<Instant>,
    /// When something was put back somewhere, nobody knows where.
    suspected: Option<Instant>,
}

impl Sweeps {
    pub fn new(now: Instant) -> Self {
        Self { extent: Extent::Placed, next: now, began: None, suspected: None }
    }

    /// Something may have been put before where any queue is read from.
    pub fn suspect(&mut self, now: Instant) {
        self.suspected = Some(now);
    }

    /// Begins one if it is time, and none is under way.
    pub fn begin(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next || self.suspected.is_some();
        let begins = is_due && self.began.is_none();
        if begins {
            self.began = Some(now);
        }
        begins
    }

    /// One has ended. True: it was cheap, and places are not needed.
    pub fn end(&mut self, now: Instant, outcome: Outcome) -> bool {
        let Some(began) = self.began.take() else { return false };
        let took = now - began;
        let Outcome::Through { queues } = outcome else {
            self.next = now + EVERY;
            return false;
        };
        self.next = now + EVERY.max(took * SHARE).min(LONGEST_PAUSE);
        // One that began before may have passed by already.
        self.suspected = self.suspected.filter(|suspected| *suspected > began);
        let queues = u32::try_from(queues).unwrap_or(u32::MAX);
        let is_cheap = took <= CHEAP + CHEAP_QUEUE.saturating_mul(queues);
        if is_cheap {
            self.extent = Extent::Placed;
        }
        is_cheap && self.suspected.is_none()
    }
}

/// How a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has looked through so many queues.
    Through { queues: usize },
    /// PostgreSQL was away.
    BrokenOff,
}

/// Goes through queues from their beginnings, and wakes the dispatchers of those where something is due.
pub async fn sweep(services: &Services, supervisor: &Addr<DispatcherSupervisor>, extent: Extent) -> Outcome {
    let queues = queues(services, extent);
    match go_through(services, supervisor, &queues).await {
        Ok(()) => Outcome::Through { queues: queues.len() },
        Err(error) => {
            tracing::warn!(%error, "what is left behind in the queues could not be looked for and is looked for again");
            Outcome::BrokenOff
        }
    }
}

fn queues(services: &Services, extent: Extent) -> Vec<PostbackId> {
    let mut queues: Vec<PostbackId> = services.queues.all().into_iter().map(|(queue, _)| queue).collect();
    if extent == Extent::All {
        queues.extend(services.catalogue().postbacks.keys());
        queues.sort_unstable();
        queues.dedup();
    }
    queues
}

async fn go_through(
    services: &Services,
    supervisor: &Addr<DispatcherSupervisor>,
    mut queues: &[PostbackId],
) -> Result<(), StoreError> {
    let mut step = FIRST_STEP;
    while !queues.is_empty() {
        let (some, rest) = queues.split_at(step.min(queues.len()));
        queues = rest;
        let began = Instant::now();
        let now = services.now();
        let horizon = QueuePosition::before(now - HORIZON_SLACK);
        let firsts = deliveries::earliest(&services.pool, some).await?;
        for queue in some {
            let first = firsts.get(queue).map(|due_at| QueuePosition::before(*due_at));
            services.queues.swept(*queue, first, horizon);
        }
        let due = firsts.iter().filter(|(_, due_at)| **due_at <= now).map(|(queue, _)| *queue);
        let due: Vec<PostbackId> = due.collect();
        if !due.is_empty() {
            supervisor.do_send(Due(due));
        }
        step = next_step(step, began.elapsed());
    }
    Ok(())
}

fn next_step(step: usize, took: Duration) -> usize {
    match took {
        short if short < SHORT_STEP => (step * 4).min(LARGEST_STEP),
        long if long > LONG_STEP => (step / 4).max(1),
        _ => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THROUGH: Outcome = Outcome::Through { queues: 1 };

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn sweeps_take_a_small_part_of_the_time() {
        let start = Instant::now();
        let mut sweeps = Sweeps::new(start);
        assert!(sweeps.begin(start));
        assert!(!sweeps.begin(after(start, 100)), "one at a time");
        assert!(!sweeps.end(after(start, 500), THROUGH));
        assert!(!sweeps.begin(after(start, 500 + 9_999)));
        assert!(sweeps.begin(after(start, 500 + 10_000)));
        // However long one takes, what was left behind is looked for again.
        let minutes_later = after(start, 600_000);
        sweeps.end(minutes_later, THROUGH);
        assert!(!sweeps.begin(after(minutes_later, 29_999)));
        assert!(sweeps.begin(after(minutes_later, 30_000)));
    }

    #[test]
    fn places_are_not_needed_where_sweeps_are_cheap() {
        let start = Instant::now();
        let mut sweeps = Sweeps::new(start);
        sweeps.extent = Extent::All;
        sweeps.begin(start);
        assert!(!sweeps.end(after(start, 50), Outcome::Through { queues: 100 }));
        assert_eq!(sweeps.extent, Extent::All);
        let later = after(start, 10_000);
        sweeps.begin(later);
        assert!(!sweeps.end(after(later, 1), Outcome::BrokenOff), "it has seen nothing");
        let later = after(start, 20_000);
        sweeps.begin(later);
        assert!(sweeps.end(after(later, 50), Outcome::Through { queues: 1_000 }));
        assert_eq!(sweeps.extent, Extent::Placed);
    }

    #[test]
    fn what_was_put_back_somewhere_is_looked_for_at_once() {
        let start = Instant::now();
        let mut sweeps = Sweeps::new(start);
        sweeps.begin(start);
        // The sweep under way may have passed by.
        sweeps.suspect(after(start, 100));
        sweeps.end(after(start, 1_000), THROUGH);
        assert!(sweeps.begin(after(start, 1_000)));
        sweeps.end(after(start, 2_000), Outcome::BrokenOff);
        assert!(sweeps.begin(after(start, 2_000)), "nobody has looked");
        sweeps.end(after(start, 3_000), THROUGH);
        assert!(!sweeps.begin(after(start, 3_000)));
    }

    #[test]
    fn a_statement_goes_through_as_many_queues_as_are_quick() {
        assert_eq!(next_step(16, Duration::from_millis(1)), 64);
        assert_eq!(next_step(1_024, Duration::from_millis(1)), 1_024);
        assert_eq!(next_step(16, Duration::from_millis(100)), 16);
        assert_eq!(next_step(16, Duration::from_secs(7)), 4);
        assert_eq!(next_step(1, Duration::from_secs(7)), 1);
    }
}
