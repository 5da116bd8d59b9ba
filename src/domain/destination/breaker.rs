//! Whether at all: a circuit breaker.
//!
//! ```text
//!            failures in a row, or most of the last ones
//!   Closed ──────────────────────────────────────────────► Open ── back-off is over ─┐
//!     ▲                                                     ▲                        ▼
//!     └──────────── an answer ───────── HalfOpen ◄── one probe goes ────────────────(·)
//!                                          └── it fails: Open, for twice as long ─────┘
//! ```
//!
//! While it is open nothing is sent and no delivery is touched. However long that lasts, probes go
//! on: nothing is ever switched off in silence.

use std::time::Duration;

use super::moment::Moment;
use super::news::BreakerNews;
use crate::domain::coded::coded_enum;

/// Failures in a row that open it.
const IN_A_ROW: u32 = 5;
/// Of so many last requests, this many failures open it as well.
const WINDOW: u32 = 32;
const MOST_OF_WINDOW: u32 = 24;
/// The shortest and the longest back-off.
pub const SHORTEST: Duration = Duration::from_secs(1);
pub const LONGEST: Duration = Duration::from_secs(60);
/// Answers after which an earlier opening is forgotten, and the next back-off is short again.
const RECOVERED: u32 = 20;

coded_enum! {
    /// What a breaker is doing.
    State {
        /// Requests go.
        Closed = "closed",
        /// Nothing goes until the back-off is over.
        Open = "open",
        /// One probe is under way.
        HalfOpen = "half_open",
    }
}

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Free,
    /// This one, and no other until it is heard of.
    Probe,
    NotBefore(Moment),
    ProbeUnderWay,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    Open { until: Moment },
    HalfOpen { probe: u32, since: Moment },
}

#[derive(Debug, Clone, Copy)]
pub struct Breaker {
    phase: Phase,
    consecutive_failures: u32,
    consecutive_answers: u32,
    /// The last outcomes, the latest in the lowest bit; 1 is a failure.
    recent: u32,
    /// Openings since it last was well for a while.
    openings: u32,
    /// The number of the latest probe, by which it is told from older ones.
    probes: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            phase: Phase::Closed,
            consecutive_failures: 0,
            consecutive_answers: 0,
            recent: 0,
            openings: 0,
            probes: 0,
        }
    }
}

impl Breaker {
    pub fn passage(&self, now: Moment) -> Passage {
        match self.phase {
            Phase::Closed => Passage::Free,
            Phase::Open { until } if until > now => Passage::NotBefore(until),
            Phase::Open { .. } => Passage::Probe,
            Phase::HalfOpen { .. } => Passage::ProbeUnderWay,
        }
    }

    /// A probe goes; its number tells it from older ones.
    pub fn probe_begins(&mut self) -> u32 {
        if let Phase::Open { until } = self.phase {
            self.probes = self.probes.wrapping_add(1);
            self.phase = Phase::HalfOpen { probe: self.probes, since: until };
        }
        self.probes
    }

    /// A probe was not sent, or told nothing: another may go at once.
    pub fn probe_came_to_nothing(&mut self, number: u32) {
        if let Phase::HalfOpen { probe, since } = self.phase
            && probe == number
        {
            self.phase = Phase::Open { until: since };
        }
    }

    /// The destination answered. True where that has closed the breaker.
    pub fn succeeded(&mut self) -> bool {
        let has_closed = self.told_closed();
        self.consecutive_failures = 0;
        self.consecutive_answers = self.consecutive_answers.saturating_add(1);
        self.recent <<= 1;
        if self.consecutive_answers >= RECOVERED {
            self.openings = 0;
        }
        has_closed
    }

    /// A request failed. How long until the next probe, where that has opened the breaker. Once
    /// it is open, requests from before tell nothing new: only a probe does.
    pub fn failed(&mut self, as_probe: Option<u32>, now: Moment, jitter: f64) -> Option<Duration> {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.consecutive_answers = 0;
        self.recent = (self.recent << 1) | 1;
        let opens = match self.phase {
            Phase::Closed => {
                self.consecutive_failures >= IN_A_ROW || self.recent.count_ones() >= MOST_OF_WINDOW
            }
            Phase::Open { .. } => false,
            Phase::HalfOpen { probe, .. } => as_probe == Some(probe),
        };
        if !opens {
            return None;
        }
        let probe_in = back_off(self.openings, jitter);
        self.openings = self.openings.saturating_add(1);
        self.phase = Phase::Open { until: now + probe_in };
        Some(probe_in)
    }

    /// Whether a probe could have gone for so long, and none went.
    pub fn is_overdue(&self, by: Duration, now: Moment) -> bool {
        matches!(self.phase, Phase::Open { until } if until + by <= now)
    }

    /// What other nodes are to know.
    pub fn news(&self, now: Moment) -> BreakerNews {
        match self.phase {
            Phase::Closed => BreakerNews::Closed,
            Phase::Open { until } | Phase::HalfOpen { since: until, .. } => {
                BreakerNews::Open { probe_in: until.since(now), openings: self.openings }
            }
        }
    }

    /// Another node found it failing. True where that has opened the breaker; a probe that is under
    /// way here will tell better.
    pub fn told_open(&mut self, until: Moment, openings: u32) -> bool {
        let has_opened = matches!(self.phase, Phase::Closed);
        self.openings = self.openings.max(openings);
        if !matches!(self.phase, Phase::HalfOpen { .. }) {
            self.phase = Phase::Open { until };
        }
        has_opened
    }

    /// Another node was answered. True where that has closed the breaker.
    pub fn told_closed(&mut self) -> bool {
        let has_closed = !matches!(self.phase, Phase::Closed);
        if has_closed {
            *self = Self { openings: self.openings, probes: self.probes, ..Self::default() };
        }
        has_closed
    }

    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    /// And, where it is open, when it lets a probe through.
    pub fn state(&self) -> (State, Option<Moment>) {
        match self.phase {
            Phase::Closed => (State::Closed, None),
            Phase::Open { until } => (State::Open, Some(until)),
            Phase::HalfOpen { .. } => (State::HalfOpen, None),
        }
    }
}

const _: () = assert!(WINDOW == u32::BITS && MOST_OF_WINDOW <= WINDOW);

/// 1 to 2 s after the first opening, twice as long after each further one, 30 to 60 s at most.
/// `jitter` in 0..1 spreads it, so that nodes do not probe together.
fn back_off(openings: u32, jitter: f64) -> Duration {
    let longest = SHORTEST.saturating_mul(2u32.saturating_pow(openings.saturating_add(1))).min(LONGEST);
    longest.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 1..IN_A_ROW {
            assert_eq!(breaker.failed(None, at(0), 0.0), None);
            assert_eq!(breaker.passage(at(0)), Passage::Free);
        }
        assert_eq!(breaker.failed(None, at(0), 0.0), Some(SHORTEST));
        breaker
    }

    #[test]
    fn it_opens_probes_once_and_closes() {
        let mut breaker = opened();
        assert_eq!(breaker.passage(at(999)), Passage::NotBefore(at(1_000)));
        assert_eq!(breaker.failed(None, at(500), 0.0), None, "a request from before");
        assert_eq!(breaker.passage(at(1_000)), Passage::Probe);
        let first = breaker.probe_begins();
        assert_eq!(breaker.passage(at(1_000)), Passage::ProbeUnderWay);
        breaker.probe_came_to_nothing(first);
        assert_eq!(breaker.passage(at(1_000)), Passage::Probe, "another may go at once");
        let second = breaker.probe_begins();
        assert_eq!(breaker.failed(None, at(1_001), 0.0), None, "not the probe");
        assert_eq!(breaker.failed(Some(first), at(1_001), 0.0), None, "not this probe");
        assert_eq!(breaker.failed(Some(second), at(1_002), 0.0), Some(Duration::from_secs(2)));
        assert_eq!(breaker.passage(at(3_002)), Passage::Probe);
        breaker.probe_begins();
        assert!(breaker.succeeded());
        assert_eq!(breaker.passage(at(3_002)), Passage::Free);
        assert_eq!(breaker.consecutive_failures(), 0);
    }

    #[test]
    fn failures_without_a_row_open_it_too() {
        let mut breaker = Breaker::default();
        let opens_after = (1..).find(|number| match number % 5 {
            0 => {
                breaker.succeeded();
                false
            }
            _ => breaker.failed(None, at(0), 0.5).is_some(),
        });
        assert_eq!(opens_after, Some(29), "the 24th failure of 29 requests");
    }

    #[test]
    fn one_that_keeps_falling_over_backs_off_for_longer() {
        let mut breaker = opened();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let probe = breaker.probe_begins();
            waits.push(breaker.failed(Some(probe), at(0), 1.0).unwrap().as_secs());
        }
        assert_eq!(waits, [4, 8, 16, 32, 60, 60, 60, 60]);
        for _ in 0..RECOVERED {
            breaker.succeeded();
        }
        let again = (0..IN_A_ROW).find_map(|_| breaker.failed(None, at(0), 1.0));
        assert_eq!(again, Some(Duration::from_secs(2)), "it was well in between");
    }

    proptest! {
        /// Whatever happens, it never closes for good: after the longest back-off something may go,
        /// and while a probe is under way nothing else does.
        #[test]
        fn it_never_gives_up(steps in prop::collection::vec((0u8..4, 0u64..5_000, 0.0..1.0f64), 0..200)) {
            let mut breaker = Breaker::default();
            let mut now = at(0);
            let mut probe = None;
            for (step, pause, jitter) in steps {
                now = now + Duration::from_millis(pause);
                match step {
                    0 => {
                        breaker.succeeded();
                        probe = None;
                    }
                    1 => {
                        breaker.failed(probe, now, jitter);
                        probe = None;
                    }
                    2 if breaker.passage(now) == Passage::Probe => {
                        probe = Some(breaker.probe_begins());
                    }
                    _ => {}
                }
                prop_assert_eq!(breaker.passage(now) == Passage::ProbeUnderWay, probe.is_some());
                let later = breaker.passage(now + LONGEST);
                prop_assert!(!matches!(later, Passage::NotBefore(_)));
            }
        }
    }
}
