//! How much at once: fewer requests where a destination struggles, more as it recovers.
//!
//! A timeout, 429 or 503 halves what may be under way; so, more gently, does an answering time far
//! above the destination's own. Each answer while all places are in use adds a little: one place a
//! round of requests, or one an answer while it catches up after an outage.

use super::moment::Moment;

/// What is left after being refused or left without an answer.
const CUT: f64 = 0.5;
/// What is left after answering times have risen.
const SLOW_CUT: f64 = 0.75;
/// Answering times are far above the destination's own when they are four times as long, and half
/// a second longer: less may as well come from this side of the wire.
const SLOW_TIMES: f64 = 4.0;
const SLOW_EXTRA_S: f64 = 0.5;
/// Answers until it is known what is usual.
const SAMPLES: u32 = 20;

/// Not slowed down is the default: a destination that was never heard of gets all its places.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// `None`: as many as there are places.
    concurrency: Option<f64>,
    /// Up to here it recovers fast.
    fast_until: f64,
    /// Requests that were sent before the last cut say nothing against what is left after it.
    cut_at: Option<Moment>,
    samples: u32,
    /// Seconds; follows the latest answers.
    latency: f64,
    /// Seconds; falls fast and rises slowly, so it stays what the destination needs when it is well.
    usual: f64,
}

impl Pace {
    /// How many requests may be under way: from 1 to `most`.
    pub fn concurrency(&self, most: usize) -> usize {
        // Not truncated: it lies between 1 and `most`.
        self.concurrency.map_or(most, |limit| limit as usize).clamp(1, most.max(1))
    }

    /// An answer that does not complain. `in_use` are the places taken, this one included.
    pub fn succeeded(&mut self, most: usize, in_use: usize, sent_at: Moment, now: Moment) {
        self.learn(now.since(sent_at).as_secs_f64());
        if self.is_slow() {
            self.cut(SLOW_CUT, most, sent_at, now);
            return;
        }
        let Some(limit) = self.concurrency else { return };
        if in_use < self.concurrency(most) {
            return;
        }
        let raised = limit + if limit < self.fast_until { 1.0 } else { 1.0 / limit };
        self.concurrency = (raised < most as f64).then_some(raised);
    }

    /// A timeout, 429 or 503.
    pub fn overloaded(&mut self, most: usize, sent_at: Moment, now: Moment) {
        self.cut(CUT, most, sent_at, now);
    }

    /// From one, fast, to half of what it was.
    pub fn start_slowly(&mut self, most: usize) {
        self.fast_until = (self.concurrency.unwrap_or(most as f64) / 2.0).max(1.0);
        self.concurrency = Some(1.0);
    }

    fn cut(&mut self, keep: f64, most: usize, sent_at: Moment, now: Moment) {
        if self.cut_at.is_some_and(|cut_at| sent_at <= cut_at) {
            return;
        }
        let left = (self.concurrency.unwrap_or(most as f64).min(most as f64) * keep).max(1.0);
        self.concurrency = Some(left);
        self.fast_until = left;
        self.cut_at = Some(now);
    }

    fn learn(&mut self, seconds: f64) {
        if self.samples == 0 {
            (self.latency, self.usual) = (seconds, seconds);
        }
        self.samples = self.samples.saturating_add(1);
        self.latency += (seconds - self.latency) * 0.2;
        self.usual += (seconds - self.usual) * if seconds < self.usual { 0.2 } else { 0.002 };
    }

    fn is_slow(&self) -> bool {
        self.samples >= SAMPLES && self.latency > self.usual * SLOW_TIMES + SLOW_EXTRA_S
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    #[test]
    fn complaints_of_one_round_count_once_and_it_never_falls_below_one() {
        let mut pace = Pace::default();
        assert_eq!(pace.concurrency(16), 16);
        for _ in 0..10 {
            pace.overloaded(16, at(0), at(10));
        }
        assert_eq!(pace.concurrency(16), 8);
        for round in 2..20 {
            pace.overloaded(16, at(round * 10), at(round * 10 + 5));
        }
        assert_eq!(pace.concurrency(16), 1);
    }

    #[test]
    fn it_recovers_a_place_a_round() {
        let mut pace = Pace::default();
        pace.overloaded(16, at(0), at(0));
        for _ in 0..8 {
            pace.succeeded(16, 8, at(1), at(2));
        }
        assert_eq!(pace.concurrency(16), 8);
        pace.succeeded(16, 8, at(1), at(2));
        assert_eq!(pace.concurrency(16), 9);
        pace.succeeded(16, 3, at(1), at(2));
        for _ in 0..200 {
            pace.succeeded(16, 16, at(1), at(2));
        }
        assert_eq!(pace.concurrency(16), 16);
        assert_eq!(pace.concurrency(64), 64, "recovered, it has all places there are");
    }

    #[test]
    fn after_an_outage_it_starts_with_one_and_doubles() {
        let mut pace = Pace::default();
        pace.start_slowly(16);
        assert_eq!(pace.concurrency(16), 1);
        for expected in 2..=8 {
            pace.succeeded(16, 16, at(1), at(2));
            assert_eq!(pace.concurrency(16), expected);
        }
        pace.succeeded(16, 16, at(1), at(2));
        assert_eq!(pace.concurrency(16), 8, "past half of what it was, a place a round");
    }

    #[test]
    fn answering_far_later_than_usual_slows_it_down_until_that_is_usual() {
        let mut pace = Pace::default();
        let mut now = 0;
        let mut answer = |pace: &mut Pace, ms: u64| {
            now += 10_000;
            pace.succeeded(16, 16, at(now - ms), at(now));
        };
        for _ in 0..50 {
            answer(&mut pace, 50);
        }
        for _ in 0..5 {
            answer(&mut pace, 500);
        }
        assert_eq!(pace.concurrency(16), 16, "not far enough above");
        for _ in 0..60 {
            answer(&mut pace, 5_000);
        }
        assert!(pace.concurrency(16) < 4, "{}", pace.concurrency(16));
        for _ in 0..2_000 {
            answer(&mut pace, 5_000);
        }
        assert_eq!(pace.concurrency(16), 16, "it is like that");
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(
            steps in prop::collection::vec((0u8..3, 0u64..2_000, 0u64..10_000, 1usize..100), 0..300),
        ) {
            let mut pace = Pace::default();
            let mut now = 20_000;
            for (step, pause, latency, most) in steps {
                now += pause;
                match step {
                    0 => pace.overloaded(most, at(now - latency), at(now)),
                    1 => pace.start_slowly(most),
                    _ => pace.succeeded(most, most, at(now - latency), at(now)),
                }
                prop_assert!((1..=most).contains(&pace.concurrency(most)));
            }
        }
    }
}
