//! Where the next reading of a log's batches begins; for deliveries, see [`super::queue_places`].
//!
//! PostgreSQL cannot clear away what has left a queue while any transaction is older than that,
//! and a reading from the beginning passes over all of it. So a long queue is read on from where
//! the last reading ended; but never from a place that transactions under way may yet write before,
//! for what they add has to be found at once. What is committed behind that place all the same is
//! found by a sweep from the beginning, at most one in twenty parts of the time; or at once, where
//! it is known that something lies there (a shipment that was given up).

use std::time::{Duration, Instant};

/// Least time between sweeps of a queue that is read on from a place.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Of all the time, sweeps take at most one part in this many.
const SWEEP_SHARE: u32 = 20;
/// Most time between them.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A sweep that took no longer passed over nothing worth remembering.
const CHEAP_SWEEP: Duration = Duration::from_millis(10);

#[derive(Debug, Clone)]
pub struct QueueFloor<P> {
    floor: Option<Floor<P>>,
    /// When something may have been put behind the place, for which no sweep has looked yet.
    missed_at: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Floor<P> {
    position: P,
    next_sweep: Instant,
}

impl<P> Default for QueueFloor<P> {
    fn default() -> Self {
        Self { floor: None, missed_at: None }
    }
}

/// A reading that has come back.
pub struct Reading<P> {
    /// Where it began; `None` is the beginning.
    pub from: Option<P>,
    /// The last of what it found.
    pub reached: Option<P>,
    /// Up to here everything was there, but for stragglers, when the reading began.
    pub horizon: P,
    /// It found as much as it asked for, so there may be more.
    pub is_full: bool,
    pub took: Duration,
}

impl<P: Copy + Ord> QueueFloor<P> {
    /// Where to read from; `None` is from the beginning.
    pub fn start(&self, now: Instant) -> Option<P> {
        if self.missed_at.is_some() {
            return None;
        }
        self.floor.as_ref().filter(|floor| now < floor.next_sweep).map(|floor| floor.position)
    }

    /// Something may have been put before where it is read from.
    pub fn missed(&mut self, now: Instant) {
        self.missed_at = Some(now);
    }

    pub fn note(&mut self, reading: Reading<P>, now: Instant) {
        // A sweep that began before may have passed by already.
        if reading.from.is_none() && self.missed_at.is_some_and(|missed_at| now - reading.took >= missed_at) {
            self.missed_at = None;
        }
        let earlier = self.floor.take();
        let reached = reading.reached.map(|reached| reached.min(reading.horizon));
        let (position, next_sweep) = match (reading.from, earlier) {
            (Some(from), Some(floor)) => (reached.max(Some(from)), floor.next_sweep),
            // A sweep, or a reading that another one has overtaken.
            (_, earlier) => {
                if !reading.is_full && reading.took <= CHEAP_SWEEP {
                    return;
                }
                let position = match reading.is_full {
                    true => reached,
                    false => earlier.map(|floor| floor.position).max(Some(reading.horizon)),
                };
                (position, now + SWEEP_EVERY.max(reading.took * SWEEP_SHARE).min(LONGEST_PAUSE))
            }
        };
        self.floor = position.map(|position| Floor { position, next_sweep });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(from: Option<u32>, reached: Option<u32>, is_full: bool, took_ms: u64) -> Reading<u32> {
        Reading { from, reached, horizon: 1_000, is_full, took: Duration::from_millis(took_ms) }
    }

    #[test]
    fn a_short_queue_is_always_read_from_its_beginning() {
        let (mut queue, now) = (QueueFloor::default(), Instant::now());
        queue.note(reading(None, Some(5), false, 1), now);
        assert_eq!(queue.start(now), None);
        assert_eq!(queue.start(now + Duration::from_secs(3_600)), None);
    }

    #[test]
    fn a_long_queue_is_read_on_and_swept_for_a_twentieth_of_the_time() {
        let (mut queue, now) = (QueueFloor::default(), Instant::now());
        queue.note(reading(None, Some(100), true, 1), now);
        assert_eq!(queue.start(now), Some(100));
        queue.note(reading(Some(100), Some(200), true, 1), now);
        assert_eq!(queue.start(now), Some(200));
        queue.note(reading(Some(200), None, false, 1), now);
        assert_eq!(queue.start(now), Some(200));
        let later = now + SWEEP_EVERY;
        assert_eq!(queue.start(later), None);
        // It took a second, so there is a heavy beginning: the next one may come in twenty.
        queue.note(reading(None, Some(7), false, 1_000), later);
        assert_eq!(queue.start(later + Duration::from_secs(19)), Some(1_000));
        assert_eq!(queue.start(later + Duration::from_secs(20)), None);
    }

    #[test]
    fn what_is_being_written_behind_the_last_one_found_is_read_next() {
        let (mut queue, now) = (QueueFloor::default(), Instant::now());
        queue.note(reading(None, Some(1_300), true, 1), now);
        assert_eq!(queue.start(now), Some(1_000));
        queue.note(reading(Some(1_000), Some(1_400), true, 1), now);
        assert_eq!(queue.start(now), Some(1_000));
    }

    #[test]
    fn a_full_sweep_goes_on_from_what_it_found_behind() {
        let (mut queue, now) = (QueueFloor::default(), Instant::now());
        queue.note(reading(None, Some(100), true, 1), now);
        let later = now + SWEEP_EVERY;
        queue.note(reading(None, Some(20), true, 1), later);
        assert_eq!(queue.start(later), Some(20));
    }

    #[test]
    fn what_was_put_behind_is_looked_for_at_once() {
        let (mut queue, now) = (QueueFloor::default(), Instant::now());
        queue.note(reading(None, Some(100), true, 1), now);
        let put_at = now + Duration::from_millis(300);
        queue.missed(put_at);
        assert_eq!(queue.start(put_at), None);
        // Neither one that reads on nor a sweep that began before has looked there.
        let later = now + Duration::from_millis(350);
        queue.note(reading(Some(100), Some(200), true, 1), later);
        assert_eq!(queue.start(later), None);
        queue.note(reading(None, Some(50), false, 200), later);
        assert_eq!(queue.start(later), None);
        queue.note(reading(None, Some(50), false, 20), later);
        assert_eq!(queue.start(later), Some(1_000));
    }

    #[test]
    fn a_cheap_sweep_that_finds_the_end_ends_it() {
        let (mut queue, now) = (QueueFloor::default(), Instant::now());
        queue.note(reading(None, Some(100), true, 1), now);
        let later = now + SWEEP_EVERY;
        queue.note(reading(None, None, false, 1), later);
        assert_eq!(queue.start(later), None);
    }
}
