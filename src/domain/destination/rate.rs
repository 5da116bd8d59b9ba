//! How often: a token bucket.

use std::time::Duration;

use super::moment::Moment;

/// Requests a second, and how many may go at once after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: u32,
}

impl Rate {
    /// Without a burst of its own a rate may be ahead by a tenth of a second, so that a sliding
    /// second never holds more than 1.1 times the rate and one request.
    pub fn new(per_second: f64, burst: Option<u32>) -> Self {
        let tenth = (per_second / 10.0).ceil().clamp(1.0, f64::from(u32::MAX));
        // Not truncated: it was rounded up and clamped.
        Self { per_second, burst: burst.unwrap_or(tenth as u32).max(1) }
    }

    /// In whole milliseconds, rounded up: timers know no less.
    fn time_of(&self, tokens: f64) -> Duration {
        // A cast of what is too long saturates.
        Duration::from_millis((tokens / self.per_second * 1_000.0).ceil().max(1.0) as u64)
    }
}

/// Tokens that have come and were not taken. Empty of a rate, it gives without end.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenBucket {
    /// `None`: never asked, so full.
    tokens: Option<f64>,
    counted_at: Moment,
}

/// What rounding may take from a token.
const ROUNDING: f64 = 1e-6;
/// A rate is waited for in steps of this, so that a fast one is not claimed one by one.
const STEP: Duration = Duration::from_millis(20);

impl TokenBucket {
    /// Takes a token, or says when the next will be there.
    pub fn take(&mut self, rate: Option<Rate>, now: Moment) -> Result<(), Moment> {
        let Some(rate) = rate else { return Ok(()) };
        let burst = f64::from(rate.burst);
        let come = now.since(self.counted_at).as_secs_f64() * rate.per_second;
        let tokens = self.tokens.map_or(burst, |tokens| (tokens + come).min(burst));
        self.counted_at = self.counted_at.max(now);
        if tokens + ROUNDING >= 1.0 {
            self.tokens = Some((tokens - 1.0).max(0.0));
            return Ok(());
        }
        self.tokens = Some(tokens);
        // Never so long that the bucket would run over.
        let wanted = (STEP.as_secs_f64() * rate.per_second).min(burst / 2.0).floor().max(1.0);
        Err(now + rate.time_of(wanted - tokens))
    }

    /// Takes back a token whose request was not sent.
    pub fn give_back(&mut self, rate: Option<Rate>) {
        if let (Some(rate), Some(tokens)) = (rate, self.tokens) {
            self.tokens = Some((tokens + 1.0).min(f64::from(rate.burst)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_without_a_burst_is_ahead_by_a_tenth_of_a_second() {
        assert_eq!(Rate::new(5.0, None).burst, 1);
        assert_eq!(Rate::new(200.0, None).burst, 20);
        assert_eq!(Rate::new(200.0, Some(3)).burst, 3);
    }

    #[test]
    fn the_next_token_is_there_when_it_was_promised() {
        let rate = Some(Rate { per_second: 3.0, burst: 2 });
        let mut bucket = TokenBucket::default();
        let now = Moment(Duration::from_secs(9));
        assert_eq!(bucket.take(rate, now), Ok(()));
        assert_eq!(bucket.take(rate, now), Ok(()));
        let next = bucket.take(rate, now).unwrap_err();
        assert_eq!(next.since(now).as_millis(), 334);
        assert!(bucket.take(rate, now + Duration::from_millis(300)).is_err());
        assert_eq!(bucket.take(rate, next), Ok(()));
        assert!(bucket.take(rate, next).is_err());
        bucket.give_back(rate);
        assert_eq!(bucket.take(rate, next), Ok(()), "a token that was not used counts again");
    }

    proptest! {
        /// Whatever is asked when, no stretch of time sees more than its share and one burst; and
        /// who comes back when told gets a token.
        #[test]
        fn a_rate_is_kept_and_its_promises_are(
            per_second in 0.05..2_000.0f64,
            burst in 1u32..50,
            pauses_us in prop::collection::vec(0u64..300_000, 1..300),
        ) {
            let rate = Rate { per_second, burst };
            let mut bucket = TokenBucket::default();
            let mut now = Moment::default();
            let mut taken: Vec<Moment> = Vec::new();
            for (number, pause) in pauses_us.into_iter().enumerate() {
                now = now + Duration::from_micros(pause);
                match bucket.take(Some(rate), now) {
                    Ok(()) => taken.push(now),
                    Err(next) if number % 3 == 0 => {
                        prop_assert!(next > now);
                        now = next;
                        prop_assert_eq!(bucket.take(Some(rate), now), Ok(()));
                        taken.push(now);
                    }
                    Err(_) => {}
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let most = to.since(*from).as_secs_f64() * per_second + f64::from(burst) + 0.01;
                    prop_assert!(((last - first + 1) as f64) <= most);
                }
            }
        }
    }
}
