//! Where destinations are sent to that are not known to be well: a thread of its own, and turns.
//!
//! Should a thousand that hang be tried at once, nobody else waits behind them; and neither do they
//! begin at once, nor end at once when their time is over. Their claims take turns too, in rounds: many
//! are made in one commit, and those that are well share a disk with it. A connection belongs to its
//! thread: a destination that is found well is connected to once more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::{Addr, ArbiterHandle};

use super::claim_desk::ClaimDesk;
use crate::outbound::HttpSender;

/// Between the beginnings of two attempts: 4,000 a second.
const BETWEEN_ATTEMPTS: Duration = Duration::from_micros(250);
/// Between two turns to claim: a thousand a second.
const BETWEEN_CLAIMS: Duration = Duration::from_millis(1);
/// The turns of each such time are taken together, at its end.
const ROUND_OF_CLAIMS: Duration = Duration::from_millis(20);
/// What was not used of so long a time may be used at once.
const SLACK: Duration = Duration::from_millis(4);

#[derive(Clone)]
pub struct Ward {
    pub arbiter: ArbiterHandle,
    /// Its connections are served by the ward's thread.
    pub sender: HttpSender,
    /// Claims for what is sent from here, after [`Ward::turn_to_claim`].
    pub desk: Addr<ClaimDesk>,
    attempts: Turns,
    claims: Turns,
}

impl Ward {
    pub fn new(arbiter: ArbiterHandle, sender: HttpSender, desk: Addr<ClaimDesk>) -> Self {
        let attempts = Turns::new(BETWEEN_ATTEMPTS, None);
        let claims = Turns::new(BETWEEN_CLAIMS, Some(ROUND_OF_CLAIMS));
        Self { arbiter, sender, desk, attempts, claims }
    }

    /// Comes back when it is the caller's turn to begin an attempt.
    pub async fn turn_to_send(&self) {
        self.attempts.wait().await;
    }

    /// Comes back when it is the caller's turn to claim.
    pub async fn turn_to_claim(&self) {
        self.claims.wait().await;
    }
}

#[derive(Clone)]
struct Turns {
    spacing: Duration,
    /// See [`ROUND_OF_CLAIMS`].
    round: Option<Duration>,
    start: Instant,
    next: Arc<Mutex<Instant>>,
}

impl Turns {
    fn new(spacing: Duration, round: Option<Duration>) -> Self {
        let start = Instant::now();
        Self { spacing, round, start, next: Arc::new(Mutex::new(start)) }
    }

    async fn wait(&self) {
        let now = Instant::now();
        let turn = self.take(now);
        if turn > now {
            tokio::time::sleep_until(turn.into()).await;
        }
    }

    fn take(&self, now: Instant) -> Instant {
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(earliest);
            *next = turn + self.spacing;
            turn
        };
        match self.round {
            None => turn,
            Some(round) => {
                let rounds = (turn.max(now) - self.start).as_nanos() / round.as_nanos() + 1;
                self.start + round * u32::try_from(rounds).unwrap_or(u32::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_begins_at_once_and_a_thousand_one_after_the_other() {
        let spacing = Duration::from_micros(250);
        let turns = Turns::new(spacing, None);
        let now = turns.start + Duration::from_secs(1);
        let first: Vec<_> = (0..1_000).map(|_| turns.take(now)).collect();
        assert!(first[..16].iter().all(|turn| *turn <= now));
        assert_eq!(first[999] - first[0], spacing * 999);
        assert!(turns.take(now + Duration::from_secs(1)) <= now + Duration::from_secs(1));
    }

    #[test]
    fn the_turns_of_a_round_are_taken_together() {
        let (spacing, round) = (Duration::from_millis(1), Duration::from_millis(40));
        let turns = Turns::new(spacing, Some(round));
        // Far beyond what 32 bits count of nanoseconds.
        let now = turns.start + round * 1_000_000;
        let mut rounds: Vec<_> = (0..100).map(|_| turns.take(now)).collect();
        rounds.dedup();
        let expected: Vec<_> = (1..=3).map(|number| now + round * number).collect();
        assert_eq!(rounds, expected);
    }
}
