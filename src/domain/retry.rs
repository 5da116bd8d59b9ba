//! What an attempt's result means, and when the next one is due.
//!
//! ```text
//!              ┌────────────── retry at next_attempt_at ─────────────┐
//!              ▼                                                     │
//! waiting ── claimed ──► delivered                                   │
//!                    ├──► failed   (the destination refused, or tries are used up)
//!                    ├──► skipped  (not fit to send, and says why)   │
//!                    └──► retrying ──────────────────────────────────┘
//! ```

use std::time::Duration;

use super::coded::coded_enum;

coded_enum! {
    /// What one attempt came to.
    Outcome {
        Delivered = "delivered",
        Retrying = "retrying",
        Failed = "failed",
        Skipped = "skipped",
    }
}

coded_enum! {
    /// What went wrong on the way, for filters and metrics.
    ErrorKind {
        None = "none",
        Dns = "dns",
        Connect = "connect",
        Tls = "tls",
        Timeout = "timeout",
        /// The connection broke before a whole answer was there.
        Reset = "reset",
        Status = "status",
        Redirect = "redirect",
        /// The node stopped between claiming the attempt and recording it: the request may
        /// have been sent.
        Interrupted = "interrupted",
        Internal = "internal",
        /// Nothing was sent: the postback's condition was not met.
        Condition = "condition",
    }
}

/// How an exchange with a destination ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    Answered {
        status: u16,
        location: Option<String>,
        /// The `Retry-After` header as it was sent.
        retry_after: Option<String>,
    },
    Broken {
        kind: ErrorKind,
        message: String,
    },
}

/// An attempt judged: its outcome, and why in code and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub outcome: Outcome,
    pub error_kind: ErrorKind,
    /// Empty for a delivery.
    pub reason: String,
    /// Set exactly when the outcome is [`Outcome::Retrying`].
    pub retry_in: Option<Duration>,
}

/// The waits between attempts; after the last one the delivery has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl Default for RetrySchedule {
    /// 5 s, 30 s, 2 min, 10 min, 1 h, 3 h, 6 h, 12 h, 24 h, 24 h.
    fn default() -> Self {
        Self(
            [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400]
                .map(Duration::from_secs)
                .to_vec(),
        )
    }
}

impl RetrySchedule {
    pub fn of_milliseconds(waits_ms: &[i64]) -> Self {
        Self(waits_ms.iter().map(|ms| Duration::from_millis(u64::try_from(*ms).unwrap_or(0))).collect())
    }

    /// The wait after attempt number `attempt` (1 is the first), or `None` when tries are used
    /// up. `jitter` in 0..1 spreads the wait over its upper half, so that what failed together
    /// does not come back together.
    pub fn wait_after(&self, attempt: u32, jitter: f64) -> Option<Duration> {
        let wait = *self.0.get(usize::try_from(attempt.checked_sub(1)?).ok()?)?;
        Some(wait.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0))
    }
}

/// Judges attempt number `attempt`.
pub fn judge(exchange: &Exchange, attempt: u32, schedule: &RetrySchedule, jitter: f64) -> Judgement {
    match exchange {
        Exchange::Answered { status: 200..=299, .. } => Judgement {
            outcome: Outcome::Delivered,
            error_kind: ErrorKind::None,
            reason: String::new(),
            retry_in: None,
        },
        Exchange::Answered { status: status @ 300..=399, location, .. } => Judgement {
            outcome: Outcome::Failed,
            error_kind: ErrorKind::Redirect,
            reason: match location {
                Some(place) => {
                    format!("answered {status} to {place}; redirects are not followed, set that URL instead")
                }
                None => format!("answered {status}; redirects are not followed"),
            },
            retry_in: None,
        },
        Exchange::Answered { status: status @ (408 | 425 | 429 | 500..=599), .. } => {
            retry_or_fail(ErrorKind::Status, format!("answered {status}"), attempt, schedule, jitter)
        }
        Exchange::Answered { status, .. } => Judgement {
            outcome: Outcome::Failed,
            error_kind: ErrorKind::Status,
            reason: format!("answered {status}, which another try would not change"),
            retry_in: None,
        },
        Exchange::Broken { kind, message } => {
            retry_or_fail(*kind, message.clone(), attempt, schedule, jitter)
        }
    }
}

fn retry_or_fail(
    kind: ErrorKind,
    reason: String,
    attempt: u32,
    schedule: &RetrySchedule,
    jitter: f64,
) -> Judgement {
    match schedule.wait_after(attempt, jitter) {
        Some(wait) => {
            Judgement { outcome: Outcome::Retrying, error_kind: kind, reason, retry_in: Some(wait) }
        }
        None => Judgement {
            outcome: Outcome::Failed,
            error_kind: kind,
            reason: format!("{reason}; all {attempt} attempts are used up"),
            retry_in: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Judgement {
        judge(
            &Exchange::Answered { status, location: None, retry_after: None },
            1,
            &RetrySchedule::default(),
            1.0,
        )
    }

    #[test]
    fn each_answer_has_its_outcome() {
        for status in [200, 204, 299] {
            assert_eq!(answered(status).outcome, Outcome::Delivered, "{status}");
        }
        for status in [408, 425, 429, 500, 503, 599] {
            assert_eq!(answered(status).outcome, Outcome::Retrying, "{status}");
            assert_eq!(answered(status).retry_in, Some(Duration::from_secs(5)), "{status}");
        }
        for status in [301, 302, 400, 404, 410, 422] {
            assert_eq!(answered(status).outcome, Outcome::Failed, "{status}");
        }
    }

    #[test]
    fn the_last_failure_is_final() {
        let broken = Exchange::Broken { kind: ErrorKind::Timeout, message: "no answer within 1 s".into() };
        let schedule = RetrySchedule::of_milliseconds(&[10]);
        assert_eq!(judge(&broken, 1, &schedule, 0.0).retry_in, Some(Duration::from_millis(5)));
        let last = judge(&broken, 2, &schedule, 0.0);
        assert_eq!((last.outcome, last.retry_in), (Outcome::Failed, None));
        assert_eq!(last.reason, "no answer within 1 s; all 2 attempts are used up");
    }
}
