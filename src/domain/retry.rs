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

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::coded::coded_enum;
use super::success_rule::{Otherwise, Refusal};

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
        /// The code said success, the body did not.
        Refused = "refused",
        /// The node stopped between claiming the attempt and recording it: the request may
        /// have been sent.
        Interrupted = "interrupted",
        /// The address may not be called; nothing was sent.
        Blocked = "blocked",
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
    /// Nothing was sent, for the request is not fit to be or its address may not be called.
    Unfit {
        kind: ErrorKind,
        reason: String,
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
}

/// The least part of a wait that jitter leaves.
const LEAST_OF_WAIT: f64 = 0.1;
/// How long a `Retry-After` is heeded where the postback does not say.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(24 * 3_600);

/// When and how often a postback's deliveries are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    pub schedule: RetrySchedule,
    /// `None`: one more than the schedule has waits. Past those, the last wait is repeated.
    pub max_attempts: Option<u32>,
    pub retry_after_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { schedule: RetrySchedule::default(), max_attempts: None, retry_after_cap: RETRY_AFTER_CAP }
    }
}

impl RetryPolicy {
    /// The wait after attempt number `attempt` (1 is the first), or `None` when tries are used
    /// up. `jitter` in 0..1 chooses from the whole wait, so that what failed together does not come
    /// back together, but for its first tenth: a retry at once would help nobody.
    pub fn wait_after(&self, attempt: u32, jitter: f64) -> Option<Duration> {
        let waits = &self.schedule.0;
        let most = self.max_attempts.map_or(waits.len() + 1, |most| most as usize);
        let made = attempt as usize;
        if made == 0 || made >= most {
            return None;
        }
        let wait = waits.get(made - 1).or(waits.last())?;
        Some(wait.mul_f64(LEAST_OF_WAIT + jitter.clamp(0.0, 1.0) * (1.0 - LEAST_OF_WAIT)))
    }

    /// How long an answer asks to be left alone, within the cap: its `Retry-After` is a number of
    /// seconds or an HTTP date (RFC 9110, 10.2.3). What is neither asks for nothing.
    pub fn asked_wait(&self, exchange: &Exchange, now: DateTime<Utc>) -> Option<Duration> {
        let Exchange::Answered { retry_after: Some(header), .. } = exchange else { return None };
        let header = header.trim();
        let wait = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
            // More seconds than can be counted are still more than the cap.
            Duration::from_secs(header.parse().unwrap_or(u64::MAX))
        } else {
            let until = httpdate::parse_http_date(header).ok()?;
            until.duration_since(SystemTime::from(now)).unwrap_or_default()
        };
        Some(wait.min(self.retry_after_cap))
    }
}

/// Judges attempt number `attempt`, whose exchange ended `now`.
pub fn judge(
    exchange: &Exchange,
    attempt: u32,
    policy: &RetryPolicy,
    jitter: f64,
    now: DateTime<Utc>,
) -> Judgement {
    let asked = policy.asked_wait(exchange, now);
    let retry_or_fail = |kind, reason| {
        let wait = policy.wait_after(attempt, jitter).map(|wait| asked.map_or(wait, |asked| asked.max(wait)));
        retry_or_fail(kind, reason, wait, attempt)
    };
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
            retry_or_fail(ErrorKind::Status, format!("answered {status}"))
        }
        // Not the delivery's fault: it is there for whoever resumes the postback.
        Exchange::Answered { status: 410, .. } => Judgement {
            outcome: Outcome::Retrying,
            error_kind: ErrorKind::Status,
            reason: GONE.into(),
            retry_in: Some(Duration::ZERO),
        },
        Exchange::Answered { status, .. } => Judgement {
            outcome: Outcome::Failed,
            error_kind: ErrorKind::Status,
            reason: format!("answered {status}, which another try would not change"),
            retry_in: None,
        },
        Exchange::Broken { kind, message } => retry_or_fail(*kind, message.clone()),
        // Not tried again, also where a name may lead elsewhere tomorrow: whoever owns the name
        // would choose when. What was skipped can be resent by hand.
        Exchange::Unfit { kind, reason } => {
            Judgement { outcome: Outcome::Skipped, error_kind: *kind, reason: reason.clone(), retry_in: None }
        }
    }
}

/// Judges attempt number `attempt`, whose answer was a success by its code and none by its body.
pub fn judge_refusal(refusal: Refusal, attempt: u32, policy: &RetryPolicy, jitter: f64) -> Judgement {
    match refusal.otherwise {
        Otherwise::Retry => {
            retry_or_fail(ErrorKind::Refused, refusal.reason, policy.wait_after(attempt, jitter), attempt)
        }
        Otherwise::Fail => Judgement {
            outcome: Outcome::Failed,
            error_kind: ErrorKind::Refused,
            reason: refusal.reason,
            retry_in: None,
        },
    }
}

fn retry_or_fail(kind: ErrorKind, reason: String, wait: Option<Duration>, attempt: u32) -> Judgement {
    match wait {
        Some(_) => Judgement { outcome: Outcome::Retrying, error_kind: kind, reason, retry_in: wait },
        None => Judgement {
            outcome: Outcome::Failed,
            error_kind: kind,
            reason: format!("{reason}; all {attempt} attempts are used up"),
            retry_in: None,
        },
    }
}

/// Why a postback that answered 410 is paused, and its delivery waits.
pub const GONE: &str = "answered 410 (gone): the postback is paused until it is resumed";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_785_000_000, 0).unwrap()
    }

    fn with_header(status: u16, header: &str) -> Exchange {
        Exchange::Answered { status, location: None, retry_after: Some(header.into()) }
    }

    fn answered(status: u16) -> Judgement {
        let exchange = Exchange::Answered { status, location: None, retry_after: None };
        judge(&exchange, 1, &RetryPolicy::default(), 1.0, now())
    }

    fn policy(waits_ms: &[i64], max_attempts: Option<u32>) -> RetryPolicy {
        RetryPolicy {
            schedule: RetrySchedule::of_milliseconds(waits_ms),
            max_attempts,
            ..RetryPolicy::default()
        }
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
        for status in [301, 302, 400, 404, 411, 422] {
            assert_eq!(answered(status).outcome, Outcome::Failed, "{status}");
        }
        assert_eq!(answered(410).outcome, Outcome::Retrying, "it waits until the postback is resumed");
        assert_eq!(answered(410).retry_in, Some(Duration::ZERO));
    }

    #[test]
    fn what_may_not_be_sent_is_skipped_for_good() {
        let reason = "not sent: 10.0.0.1 is a private address".to_owned();
        let unfit = Exchange::Unfit { kind: ErrorKind::Blocked, reason: reason.clone() };
        let judged = judge(&unfit, 1, &RetryPolicy::default(), 1.0, now());
        let expected =
            Judgement { outcome: Outcome::Skipped, error_kind: ErrorKind::Blocked, reason, retry_in: None };
        assert_eq!(judged, expected);
    }

    #[test]
    fn the_last_failure_is_final() {
        let broken = Exchange::Broken { kind: ErrorKind::Timeout, message: "no answer within 1 s".into() };
        let policy = policy(&[10], None);
        assert_eq!(judge(&broken, 1, &policy, 0.0, now()).retry_in, Some(Duration::from_millis(1)));
        let last = judge(&broken, 2, &policy, 0.0, now());
        assert_eq!((last.outcome, last.retry_in), (Outcome::Failed, None));
        assert_eq!(last.reason, "no answer within 1 s; all 2 attempts are used up");
    }

    #[test]
    fn the_number_of_attempts_cuts_the_schedule_or_repeats_its_end() {
        let waits = |policy: &RetryPolicy| -> Vec<u128> {
            (1..).map_while(|attempt| policy.wait_after(attempt, 1.0)).map(|wait| wait.as_millis()).collect()
        };
        assert_eq!(waits(&policy(&[10, 20], None)), [10, 20]);
        assert_eq!(waits(&policy(&[10, 20], Some(2))), [10]);
        assert_eq!(waits(&policy(&[10, 20], Some(5))), [10, 20, 20, 20]);
        assert_eq!(waits(&policy(&[10, 20], Some(1))), [0u128; 0]);
        assert_eq!(waits(&policy(&[], None)), [0u128; 0]);
        assert_eq!(RetryPolicy::default().wait_after(0, 1.0), None, "nothing was tried yet");
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms_and_capped() {
        let policy = RetryPolicy { retry_after_cap: Duration::from_secs(3_600), ..RetryPolicy::default() };
        let date =
            |ahead: i64| httpdate::fmt_http_date(SystemTime::from(now() + chrono::TimeDelta::seconds(ahead)));
        for (header, seconds) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("7200", Some(3_600)),
            ("99999999999999999999999", Some(3_600)),
            (date(90).as_str(), Some(90)),
            (date(-90).as_str(), Some(0)),
            (date(1_000_000).as_str(), Some(3_600)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(0)),
            ("Sun Nov  6 08:49:37 1994", Some(0)),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
            ("", None),
        ] {
            let asked = policy.asked_wait(&with_header(429, header), now());
            assert_eq!(asked, seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    #[test]
    fn a_wait_is_never_shorter_than_was_asked_for() {
        let asked = judge(&with_header(503, "60"), 1, &RetryPolicy::default(), 1.0, now());
        assert_eq!(asked.retry_in, Some(Duration::from_secs(60)));
        let own_is_longer = judge(&with_header(503, "60"), 4, &RetryPolicy::default(), 1.0, now());
        assert_eq!(own_is_longer.retry_in, Some(Duration::from_secs(600)));
        let used_up = judge(&with_header(503, "60"), 11, &RetryPolicy::default(), 1.0, now());
        assert_eq!(used_up.outcome, Outcome::Failed);
    }

    proptest! {
        #[test]
        fn jitter_takes_the_whole_wait_but_its_first_tenth(wait_ms in 1i64..1_000_000, jitter in 0.0..1.0f64) {
            let wait = policy(&[wait_ms], None).wait_after(1, jitter).unwrap();
            let whole = Duration::from_millis(wait_ms.unsigned_abs());
            prop_assert!(wait <= whole && wait >= whole.mul_f64(0.099));
        }

        #[test]
        fn no_header_is_too_strange(header in ".{0,40}") {
            let asked = RetryPolicy::default().asked_wait(&with_header(429, &header), now());
            prop_assert!(asked.is_none_or(|wait| wait <= RETRY_AFTER_CAP));
        }
    }
}
