//! How a postback's destination is treated: how much, how often, and how it is tried again.

use deadpool_postgres::Transaction;
use serde::Serialize;
use tokio_postgres::Row;

use super::ChangeError;
use super::postbacks::{MAX_RETRIES, MAX_WAIT_MS};
use crate::domain::ids::PostbackId;
use crate::store::error::StoreError;

/// What is set of it; `None` stands for what is so by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SendingRecord {
    pub rate_per_second: Option<f64>,
    pub burst: Option<i32>,
    pub retry_schedule_ms: Option<Vec<i64>>,
    pub max_attempts: Option<i32>,
    pub retry_after_cap_ms: Option<i64>,
}

/// What to set; `None` leaves it as it is, `Some(None)` makes it as it is by default.
#[derive(Debug, Clone, Default)]
pub struct SendingChange {
    pub rate_per_second: Option<Option<f64>>,
    pub burst: Option<Option<i32>>,
    pub retry_schedule_ms: Option<Option<Vec<i64>>>,
    pub max_attempts: Option<Option<i32>>,
    pub retry_after_cap_ms: Option<Option<i64>>,
}

impl SendingChange {
    fn of(self, before: SendingRecord) -> SendingRecord {
        let rate_per_second = self.rate_per_second.unwrap_or(before.rate_per_second);
        // A burst goes with its rate, unless it is asked for, which is refused then.
        let burst_before = before.burst.filter(|_| rate_per_second.is_some());
        SendingRecord {
            rate_per_second,
            burst: self.burst.unwrap_or(burst_before),
            retry_schedule_ms: self.retry_schedule_ms.unwrap_or(before.retry_schedule_ms),
            max_attempts: self.max_attempts.unwrap_or(before.max_attempts),
            retry_after_cap_ms: self.retry_after_cap_ms.unwrap_or(before.retry_after_cap_ms),
        }
    }

    /// Makes the change inside the caller's transaction.
    pub(super) async fn make(self, transaction: &Transaction<'_>, id: PostbackId) -> Result<(), ChangeError> {
        let select = "SELECT * FROM postbacks WHERE postback_id = $1 FOR UPDATE";
        let after = self.of(read(&transaction.query_one(select, &[&id.0]).await?)?);
        check(&after)?;
        transaction
            .execute(
                "UPDATE postbacks SET rate_per_second = $2, burst = $3, retry_schedule_ms = $4, max_attempts = $5,
                                      retry_after_cap_ms = $6
                 WHERE postback_id = $1",
                &[
                    &id.0,
                    &after.rate_per_second,
                    &after.burst,
                    &after.retry_schedule_ms,
                    &after.max_attempts,
                    &after.retry_after_cap_ms,
                ],
            )
            .await?;
        Ok(())
    }
}

fn check(sending: &SendingRecord) -> Result<(), ChangeError> {
    if sending.rate_per_second.is_some_and(|rate| !(0.001..=100_000.0).contains(&rate)) {
        let message = "write 0.001 to 100000 requests a second, or null for as many as come";
        return Err(ChangeError::bad("limits.rate_per_second", message));
    }
    if sending.burst.is_some_and(|burst| !(1..=100_000).contains(&burst)) {
        return Err(ChangeError::bad("limits.burst", "write 1 to 100000 requests, or null"));
    }
    if sending.burst.is_some() && sending.rate_per_second.is_none() {
        return Err(ChangeError::bad("limits.burst", "a burst is of a rate; set ratePerSecond as well"));
    }
    if let Some(waits) = &sending.retry_schedule_ms {
        let fits = waits.len() <= MAX_RETRIES && waits.iter().all(|wait| (1..=MAX_WAIT_MS).contains(wait));
        if !fits {
            let message =
                "write at most 50 waits of 1 millisecond to 7 days each; none at all means one attempt";
            return Err(ChangeError::bad("retry.schedule_ms", message));
        }
        if waits.is_empty() && sending.max_attempts.is_some_and(|most| most > 1) {
            let message = "the schedule has no wait to repeat; give it one, or write 1 attempt";
            return Err(ChangeError::bad("retry.max_attempts", message));
        }
    }
    if sending.max_attempts.is_some_and(|most| !(1..=1_000).contains(&most)) {
        return Err(ChangeError::bad("retry.max_attempts", "write 1 to 1000 attempts, or null"));
    }
    if sending.retry_after_cap_ms.is_some_and(|cap| !(0..=MAX_WAIT_MS).contains(&cap)) {
        let message = "write 0 milliseconds (do not heed it) to 7 days, or null";
        return Err(ChangeError::bad("retry.retry_after_cap_ms", message));
    }
    Ok(())
}

pub(super) fn read(row: &Row) -> Result<SendingRecord, StoreError> {
    Ok(SendingRecord {
        rate_per_second: row.try_get("rate_per_second")?,
        burst: row.try_get("burst")?,
        retry_schedule_ms: row.try_get("retry_schedule_ms")?,
        max_attempts: row.try_get("max_attempts")?,
        retry_after_cap_ms: row.try_get("retry_after_cap_ms")?,
    })
}
