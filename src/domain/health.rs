//! How a destination is doing, and when its owner is to be told.
//!
//! ```text
//!          first failure              1 h                        24 h
//!   well ───────────────► failing ─────────► warned of once ─────────► warned of twice
//!    ▲                       │                     │                         │
//!    └───── a success of any node (told of, where a warning was given) ──────┘
//! ```
//!
//! A delivery that is given up after all its tries is told of as well, at most once within the
//! first of the two times; and so is a pause that was nobody's hand.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::event::Event;
use super::ids::PostbackId;

/// After how long of failing the owner is warned, and warned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    pub first: Duration,
    pub second: Duration,
}

impl Thresholds {
    /// How many warnings are due for what has been failing since `since`: 0 to 2.
    pub fn due(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> i16 {
        let failing_for = (now - since).to_std().unwrap_or_default();
        i16::from(failing_for >= self.first) + i16::from(failing_for >= self.first.max(self.second))
    }
}

/// What an operational postback tells of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub postback_id: PostbackId,
    pub event: Event,
    /// When it began to fail, or was paused.
    pub since: DateTime<Utc>,
    /// A sentence.
    pub reason: String,
}

/// What became of one attempt, as far as its destination's health goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    Success,
    Failure { error: String, is_given_up: bool },
}

/// What one node has seen of one destination and not yet written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The latest success, kept when it has been written.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Whether it is news.
    pub is_success_news: bool,
    /// Failures since then.
    pub failures: Option<Failures>,
    /// Why a delivery was given up, whatever succeeded since.
    pub given_up: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    pub count: i64,
    pub last_error: String,
}

impl Notes {
    pub fn add(&mut self, sign: Sign, at: DateTime<Utc>) {
        match sign {
            Sign::Success => {
                self.succeeded_at = self.succeeded_at.max(Some(at));
                self.is_success_news = true;
                self.failures = None;
            }
            Sign::Failure { error, is_given_up } => {
                if is_given_up {
                    self.given_up = Some(error.clone());
                }
                let failures = self.failures.get_or_insert_with(|| Failures {
                    first_at: at,
                    last_at: at,
                    count: 0,
                    last_error: String::new(),
                });
                failures.first_at = failures.first_at.min(at);
                failures.last_at = failures.last_at.max(at);
                failures.count += 1;
                failures.last_error = error;
            }
        }
    }

    /// These notes, which could not be written, before those that were made since.
    pub fn before(self, later: Self) -> Self {
        let earlier = self.failures.filter(|_| !later.is_success_news);
        let failures = match (earlier, later.failures) {
            (Some(earlier), Some(later)) => Some(Failures {
                first_at: earlier.first_at.min(later.first_at),
                last_at: earlier.last_at.max(later.last_at),
                count: earlier.count + later.count,
                last_error: later.last_error,
            }),
            (earlier, later) => later.or(earlier),
        };
        Self {
            succeeded_at: self.succeeded_at.max(later.succeeded_at),
            is_success_news: self.is_success_news || later.is_success_news,
            failures,
            given_up: later.given_up.or(self.given_up),
        }
    }

    pub fn are_news(&self) -> bool {
        self.is_success_news || self.failures.is_some() || self.given_up.is_some()
    }

    /// What is left once they have been written.
    pub fn written(&mut self) -> Self {
        let left = Self { succeeded_at: self.succeeded_at, ..Self::default() };
        std::mem::replace(self, left)
    }
}

/// How long something has lasted, as people say it.
pub fn in_words(lasted: TimeDelta) -> String {
    match lasted.num_seconds().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn failure(error: &str) -> Sign {
        Sign::Failure { error: error.into(), is_given_up: false }
    }

    #[test]
    fn warnings_are_due_at_their_times() {
        let thresholds = Thresholds { first: Duration::from_secs(60), second: Duration::from_secs(600) };
        for (seconds, due) in [(-5, 0), (0, 0), (59, 0), (60, 1), (599, 1), (600, 2), (6_000, 2)] {
            assert_eq!(thresholds.due(at(0), at(seconds)), due, "after {seconds} s");
        }
    }

    #[test]
    fn a_success_ends_what_failed_before_it_and_not_what_fails_after() {
        let mut notes = Notes::default();
        notes.add(failure("a"), at(1));
        notes.add(Sign::Success, at(2));
        assert_eq!((notes.failures.clone(), notes.succeeded_at), (None, Some(at(2))));
        notes.add(failure("b"), at(3));
        notes.add(failure("c"), at(4));
        let failures = Failures { first_at: at(3), last_at: at(4), count: 2, last_error: "c".into() };
        assert_eq!(notes.failures, Some(failures));
        let taken = notes.written();
        assert!(taken.are_news() && !notes.are_news());
        assert_eq!(notes.succeeded_at, Some(at(2)), "the latest success is still known");
    }

    #[test]
    fn a_time_is_said_in_one_unit() {
        for (seconds, words) in [(5, "5 s"), (3_600, "60 min"), (86_400, "24 h"), (-1, "0 s")] {
            assert_eq!(in_words(TimeDelta::seconds(seconds)), words);
        }
    }

    proptest! {
        /// Whether notes are written at once or come back and are joined makes no difference.
        #[test]
        fn joined_notes_are_as_if_never_parted(signs in proptest::collection::vec(any::<Option<bool>>(), 0..12), cut in 0..12_usize) {
            let sign = |sign: &Option<bool>| match sign {
                None => Sign::Success,
                Some(is_given_up) => Sign::Failure { error: "e".into(), is_given_up: *is_given_up },
            };
            let (mut whole, mut first, mut second) = (Notes::default(), Notes::default(), Notes::default());
            for (number, one) in signs.iter().enumerate() {
                let time = at(i64::try_from(number).unwrap());
                whole.add(sign(one), time);
                if number < cut { first.add(sign(one), time) } else { second.add(sign(one), time) }
            }
            prop_assert_eq!(first.before(second), whole);
        }
    }
}
