//! Where destinations are sent to that are not known to be well: a thread of its own, and turns.
//!
//! Should a thousand that hang be tried at once, nobody else waits behind them; and neither do they
//! begin at once, nor end at once when their time is over. Their claims, each a commit, take turns
//! too: those that are well share a disk with them. A connection belongs to its thread: a
//! destination that is found well is connected to once more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::ArbiterHandle;

use crate::outbound::HttpSender;

/// Between the beginnings of two attempts: 4,000 a second.
const BETWEEN_ATTEMPTS: Duration = Duration::from_micros(250);
/// Between two claims: 250 a second.
const BETWEEN_CLAIMS: Duration = Duration::from_millis(4);
/// What was not used of so long a time may be used at once.
const SLACK: Duration = Duration::from_millis(4);

#[derive(Clone)]
pub struct Ward {
    pub arbiter: ArbiterHandle,
    /// Its connections are served by the ward's thread.
    pub sender: HttpSender,
    attempts: Turns,
    claims: Turns,
}

impl Ward {
    pub fn new(arbiter: ArbiterHandle, sender: HttpSender) -> Self {
        Self { arbiter, sender, attempts: Turns::new(BETWEEN_ATTEMPTS), claims: Turns::new(BETWEEN_CLAIMS) }
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
    next: Arc<Mutex<Instant>>,
}

impl Turns {
    fn new(spacing: Duration) -> Self {
        Self { spacing, next: Arc::new(Mutex::new(Instant::now())) }
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
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(earliest);
        *next = turn + self.spacing;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_begins_at_once_and_a_thousand_one_after_the_other() {
        let now = Instant::now() + Duration::from_secs(1);
        let spacing = Duration::from_micros(250);
        let turns = Turns { spacing, next: Arc::new(Mutex::new(now - Duration::from_secs(1))) };
        let first: Vec<_> = (0..1_000).map(|_| turns.take(now)).collect();
        assert!(first[..16].iter().all(|turn| *turn <= now));
        assert_eq!(first[999] - first[0], spacing * 999);
        assert!(turns.take(now + Duration::from_secs(1)) <= now + Duration::from_secs(1));
    }
}
