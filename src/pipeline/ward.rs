//! Where destinations are sent to that are not known to be well: a thread of its own, and turns.
//!
//! Should a thousand that hang be tried at once, nobody else waits behind them; and neither do they
//! begin at once, nor end at once when their time is over. A connection belongs to its thread: a
//! destination that is found well is connected to once more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::ArbiterHandle;

use crate::outbound::HttpSender;

/// Between the beginnings of two attempts: 4,000 a second.
const SPACING: Duration = Duration::from_micros(250);
/// What was not used of so long a time may be used at once.
const SLACK: Duration = Duration::from_millis(4);

#[derive(Clone)]
pub struct Ward {
    pub arbiter: ArbiterHandle,
    /// Its connections are served by the ward's thread.
    pub sender: HttpSender,
    turns: Arc<Mutex<Turns>>,
}

impl Ward {
    pub fn new(arbiter: ArbiterHandle, sender: HttpSender) -> Self {
        Self { arbiter, sender, turns: Arc::new(Mutex::new(Turns { next: Instant::now() })) }
    }

    /// Comes back when it is the caller's turn to begin.
    pub async fn turn(&self) {
        let now = Instant::now();
        let turn = self.turns.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        if turn > now {
            tokio::time::sleep_until(turn.into()).await;
        }
    }
}

struct Turns {
    next: Instant,
}

impl Turns {
    fn take(&mut self, now: Instant) -> Instant {
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let turn = self.next.max(earliest);
        self.next = turn + SPACING;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_begins_at_once_and_a_thousand_one_after_the_other() {
        let now = Instant::now() + Duration::from_secs(1);
        let mut turns = Turns { next: now - Duration::from_secs(1) };
        let first: Vec<_> = (0..1_000).map(|_| turns.take(now)).collect();
        assert!(first[..16].iter().all(|turn| *turn <= now));
        assert_eq!(first[999] - first[0], SPACING * 999);
        assert!(turns.take(now + Duration::from_secs(1)) <= now + Duration::from_secs(1));
    }
}
