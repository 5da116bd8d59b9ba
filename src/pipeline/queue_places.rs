//! Where the queues of deliveries are read from.
//!
//! PostgreSQL cannot clear away what has left a queue while any transaction is older than that,
//! and a reading from the beginning passes over all of it. So a long queue, and any where much lies
//! before its first delivery, is read on from a place; but never from one that transactions under
//! way may yet write before, for what they add has to be found at once.
//!
//! What is put before its place all the same is found because it is told (claims that this node
//! gives back or takes over), or by a sweep: it looks for the first delivery of each queue from the
//! beginning, one queue after the other, and all of them together take a small part of the time. Where
//! sweeps are cheap the places are forgotten; without a long transaction, that is always.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::queue_floor::Reading;
use crate::domain::ids::PostbackId;
use crate::store::deliveries::QueuePosition;

/// A reading that took no longer passed over nothing worth remembering.
const CHEAP_READING: Duration = Duration::from_millis(10);

/// Of all queues. Bound: a small entry for each postback that was ever claimed for or swept.
#[derive(Debug, Default)]
pub struct QueuePlaces(Mutex<HashMap<PostbackId, Queue<QueuePosition>>>);

impl QueuePlaces {
    /// Begins to claim from a queue; where to read from, `None` for its beginning. One reading of a
    /// queue at a time.
    pub fn begin(&self, postback: PostbackId) -> Option<QueuePosition> {
        self.lock().entry(postback).or_default().begin()
    }

    /// What a reading came to.
    pub fn note(&self, postback: PostbackId, reading: Reading<QueuePosition>) {
        self.lock().entry(postback).or_default().note(reading);
    }

    /// Something waits again at `position`, which may be before where its queue is read from.
    pub fn put_back(&self, postback: PostbackId, position: QueuePosition) {
        self.lock().entry(postback).or_default().put_back(QueuePosition::before(position.due_at));
    }

    /// The queues that are read on from a place, and the places.
    pub fn all(&self) -> Vec<(PostbackId, QueuePosition)> {
        self.lock().iter().filter_map(|(postback, queue)| Some((*postback, queue.place?))).collect()
    }

    /// Takes in what a sweep has found first in a queue, and before which everything but stragglers was
    /// there when it looked.
    pub fn swept(&self, postback: PostbackId, first: Option<QueuePosition>, horizon: QueuePosition) {
        self.lock().entry(postback).or_default().swept(first, horizon);
    }

    /// Has every queue read from its beginning.
    pub fn forget(&self) {
        self.lock().values_mut().for_each(|queue| queue.place = None);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PostbackId, Queue<QueuePosition>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone)]
struct Queue<P> {
    /// Nothing is known to wait up to here. `None`: it is read from its beginning.
    place: Option<P>,
    /// The first place of what was put back since the last reading began.
    put_back: Option<P>,
}

impl<P> Default for Queue<P> {
    fn default() -> Self {
        Self { place: None, put_back: None }
    }
}

impl<P: Copy + Ord> Queue<P> {
    fn begin(&mut self) -> Option<P> {
        self.put_back = None;
        self.place
    }

    fn note(&mut self, reading: Reading<P>) {
        self.place = match (reading.from, reading.is_full) {
            (from, true) => reading.reached.map(|reached| reached.min(reading.horizon)).max(from),
            // Nothing is left before the horizon.
            (Some(from), false) => Some(from.max(reading.horizon)),
            (None, false) => (reading.took > CHEAP_READING).then_some(reading.horizon),
        };
        self.keep_before_what_was_put_back();
    }

    fn put_back(&mut self, place: P) {
        self.put_back = Some(self.put_back.map_or(place, |earlier| earlier.min(place)));
        self.keep_before_what_was_put_back();
    }

    fn swept(&mut self, first: Option<P>, horizon: P) {
        // As if it were put there now.
        if let Some(first) = first {
            self.put_back(first);
        }
        if self.place.is_none() {
            self.place = Some(horizon);
            self.keep_before_what_was_put_back();
        }
    }

    /// Whatever is read or swept meanwhile may have passed by already.
    fn keep_before_what_was_put_back(&mut self) {
        self.place = self.place.map(|place| self.put_back.map_or(place, |put_back| place.min(put_back)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(from: Option<u32>, reached: Option<u32>, is_full: bool, took_ms: u64) -> Reading<u32> {
        Reading { from, reached, horizon: 1_000, is_full, took: Duration::from_millis(took_ms) }
    }

    fn read_up_to(place: u32) -> Queue<u32> {
        let mut queue = Queue::default();
        queue.note(reading(None, Some(place), true, 1));
        queue
    }

    #[test]
    fn a_short_queue_is_always_read_from_its_beginning() {
        let mut queue = Queue::default();
        queue.note(reading(None, Some(5), false, 1));
        assert_eq!(queue.begin(), None);
    }

    #[test]
    fn a_long_queue_is_read_on_to_its_end() {
        let mut queue = read_up_to(100);
        assert_eq!(queue.begin(), Some(100));
        queue.note(reading(Some(100), Some(200), true, 1));
        assert_eq!(queue.begin(), Some(200));
        // All of it was claimed: what lies up to the horizon is not read again.
        queue.note(reading(Some(200), Some(300), false, 1));
        assert_eq!(queue.begin(), Some(1_000));
        queue.note(reading(Some(1_000), None, false, 1));
        assert_eq!(queue.begin(), Some(1_000));
    }

    #[test]
    fn a_heavy_beginning_is_passed_over_once() {
        let mut queue = Queue::default();
        queue.note(reading(None, None, false, 500));
        assert_eq!(queue.begin(), Some(1_000));
    }

    #[test]
    fn what_is_being_written_behind_the_last_one_found_is_read_next() {
        let mut queue = Queue::default();
        queue.note(reading(None, Some(1_300), true, 1));
        assert_eq!(queue.begin(), Some(1_000));
        queue.note(reading(Some(1_000), Some(1_400), true, 1));
        assert_eq!(queue.begin(), Some(1_000));
    }

    #[test]
    fn what_was_put_back_is_read_next() {
        let mut queue = read_up_to(500);
        queue.put_back(300);
        queue.put_back(400);
        assert_eq!(queue.begin(), Some(300));
    }

    #[test]
    fn what_is_put_back_during_a_reading_is_read_after_it() {
        for (from, is_full) in [(500, true), (500, false)] {
            let mut queue = read_up_to(from);
            assert_eq!(queue.begin(), Some(from));
            queue.put_back(300);
            queue.note(reading(Some(from), Some(700), is_full, 1));
            assert_eq!(queue.begin(), Some(300), "{is_full}");
        }
        // The same where it was read from its beginning, and the place is new.
        let mut queue = Queue::default();
        queue.begin();
        queue.put_back(300);
        queue.note(reading(None, Some(700), true, 1));
        assert_eq!(queue.begin(), Some(300));
        // And where places were forgotten meanwhile.
        let mut queue = read_up_to(500);
        queue.begin();
        queue.put_back(300);
        queue.place = None;
        queue.note(reading(Some(500), None, false, 1));
        assert_eq!(queue.begin(), Some(300));
    }

    #[test]
    fn a_sweep_sets_a_place_back_and_never_on() {
        let mut queue = read_up_to(500);
        queue.swept(Some(800), 1_000);
        assert_eq!(queue.begin(), Some(500));
        queue.swept(None, 1_000);
        assert_eq!(queue.begin(), Some(500));
        queue.swept(Some(20), 1_000);
        assert_eq!(queue.begin(), Some(20));
    }

    #[test]
    fn a_sweep_gives_a_place_to_who_has_none() {
        for (first, place) in [(None, 1_000), (Some(700), 700), (Some(1_700), 1_000)] {
            let mut queue = Queue::default();
            queue.swept(first, 1_000);
            assert_eq!(queue.begin(), Some(place));
        }
        // What was put back while it swept was not there when it looked.
        let mut queue = Queue::default();
        queue.put_back(300);
        queue.swept(None, 1_000);
        assert_eq!(queue.begin(), Some(300));
    }
}
