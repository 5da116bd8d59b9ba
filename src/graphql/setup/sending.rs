//! How a postback's destination is treated: `limits` and `retry` of its inputs and of itself.

use async_graphql::{InputObject, MaybeUndefined, SimpleObject};

use crate::graphql::failure::Failure;
use crate::store::setup::sending::{SendingChange, SendingRecord};

/// How much a destination is sent, over all nodes. What is left out stays as it is; null is the
/// default.
#[derive(InputObject, Default)]
pub struct PostbackLimitsInput {
    /// Most requests at once: 1 to 1000, 16 by default.
    max_in_flight: Option<i32>,
    /// Most requests a second: 0.001 to 100000; by default as many as come.
    rate_per_second: MaybeUndefined<f64>,
    /// Most requests at once after a quiet time, where there is a rate; by default a tenth of a
    /// second's worth.
    burst: MaybeUndefined<i32>,
}

/// How deliveries are tried again. What is left out stays as it is; null is the default.
#[derive(InputObject, Default)]
pub struct PostbackRetryInput {
    /// Milliseconds between attempts; by default 5 s, 30 s, 2 min, 10 min, 1 h, 3 h, 6 h, 12 h,
    /// 24 h, 24 h. Each wait is shortened at random, to a tenth at least.
    schedule_ms: MaybeUndefined<Vec<i64>>,
    /// 1 to 1000; by default one more than the schedule has waits. Past those the last is repeated.
    max_attempts: MaybeUndefined<i32>,
    /// The longest a `Retry-After` is heeded, in milliseconds; by default a day.
    retry_after_cap_ms: MaybeUndefined<i64>,
}

/// How much a destination is sent, over all nodes.
#[derive(SimpleObject)]
pub struct PostbackLimits {
    /// Most requests at once.
    max_in_flight: i32,
    /// Most requests a second; null for as many as come.
    rate_per_second: Option<f64>,
    /// Most requests at once after a quiet time; null for a tenth of a second's worth.
    burst: Option<i32>,
}

/// How deliveries are tried again.
#[derive(SimpleObject)]
pub struct PostbackRetry {
    /// Milliseconds between attempts; null for the default schedule.
    schedule_ms: Option<Vec<i64>>,
    /// Null for one more than the schedule has waits.
    max_attempts: Option<i32>,
    /// The longest a `Retry-After` is heeded, in milliseconds; null for a day.
    retry_after_cap_ms: Option<i64>,
}

impl PostbackLimits {
    pub fn of(max_in_flight: i32, sending: &SendingRecord) -> Self {
        Self { max_in_flight, rate_per_second: sending.rate_per_second, burst: sending.burst }
    }
}

impl PostbackRetry {
    pub fn of(sending: &SendingRecord) -> Self {
        Self {
            schedule_ms: sending.retry_schedule_ms.clone(),
            max_attempts: sending.max_attempts,
            retry_after_cap_ms: sending.retry_after_cap_ms,
        }
    }
}

/// What both inputs ask for, and the most requests at once. `max_in_flight` and
/// `retry_schedule_ms` are the arguments from before these inputs.
pub fn change_of(
    limits: Option<PostbackLimitsInput>,
    retry: Option<PostbackRetryInput>,
    max_in_flight: Option<i32>,
    retry_schedule_ms: Option<Vec<i64>>,
) -> Result<(Option<i32>, SendingChange), Failure> {
    let (limits, retry) = (limits.unwrap_or_default(), retry.unwrap_or_default());
    let twice = |field: &str, other: &str| {
        Err(Failure::bad_input(field, format!("{other} says the same; leave one of the two out")))
    };
    if max_in_flight.is_some() && limits.max_in_flight.is_some() {
        return twice("input.limits.maxInFlight", "maxInFlight");
    }
    if retry_schedule_ms.is_some() && !retry.schedule_ms.is_undefined() {
        return twice("input.retry.scheduleMs", "retryScheduleMs");
    }
    let change = SendingChange {
        rate_per_second: option(limits.rate_per_second),
        burst: option(limits.burst),
        retry_schedule_ms: retry_schedule_ms.map(Some).or(option(retry.schedule_ms)),
        max_attempts: option(retry.max_attempts),
        retry_after_cap_ms: option(retry.retry_after_cap_ms),
    };
    Ok((max_in_flight.or(limits.max_in_flight), change))
}

fn option<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}
