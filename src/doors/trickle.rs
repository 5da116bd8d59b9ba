//! Lets a few things through a second, for what must not be repeated without end.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// At most `burst` at once, and `per_second` of them for as long as it goes on.
pub struct Trickle {
    burst: f64,
    per_second: f64,
    /// How many may pass now, as of when.
    level: Mutex<Option<(f64, Instant)>>,
}

impl Trickle {
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst as f64, per_second: per_second as f64, level: Mutex::new(None) }
    }

    pub fn passes(&self, now: Instant) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = level.unwrap_or((self.burst, now));
        let gained = now.saturating_duration_since(since).as_secs_f64() * self.per_second;
        let left = (left + gained).min(self.burst);
        let passes = left >= 1.0;
        *level = Some((if passes { left - 1.0 } else { left }, now));
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_a_trickle() {
        let trickle = Trickle::new(3, 2);
        let start = Instant::now();
        let passed = |milliseconds: u64| trickle.passes(start + Duration::from_millis(milliseconds));
        assert_eq!([passed(0), passed(0), passed(0), passed(0)], [true, true, true, false]);
        assert_eq!([passed(250), passed(750), passed(800), passed(1_500)], [false, true, false, true]);
        let later = (0..10).filter(|_| passed(60_000)).count();
        assert_eq!(later, 3, "never more than a burst");
    }
}
