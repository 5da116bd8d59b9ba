//! A tail that begins in the past.
//!
//! Three sources in turn, which overlap in time and are told apart by what is known for certain:
//!
//! 1. ClickHouse, as it was when its answer began, without the rows that PostgreSQL still has;
//! 2. PostgreSQL's batches that the feed had seen before the follower came;
//! 3. the feed itself: all batches it had not seen.
//!
//! An attempt is missing from 1 only if it was not shipped by then; then its batch still waits, or
//! was shipped since and is kept, because the feed's lease lives. So 1 and 2 have no gap, and 2 is
//! read after 1 has begun.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clickhouse::query::RowCursor;
use uuid::Uuid;

use super::feed::Follower;
use super::{TailEnd, TailRow, Tailed, decode};
use crate::event_log::EventLog;
use crate::event_log::reader::{AttemptRecord, attempts_since, is_match};
use crate::store::log_tails::{self, KEPT};
use crate::store::{Pool, StoreError};

/// How long before ClickHouse's answer began a batch may have been shipped and yet not be in it.
const SHIPPING: Duration = Duration::from_secs(30);
/// How far the clocks of nodes and PostgreSQL differ at most.
const CLOCKS: TimeDelta = TimeDelta::minutes(1);
/// Batches read at once.
const BATCHES: usize = 4;
/// How long the past may take to send: batches are kept a little longer.
const PATIENCE: Duration = Duration::from_secs(KEPT.as_secs() - 30);
/// How long ClickHouse may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(15);

/// A follower with its past.
pub struct Tail {
    follower: Follower,
    /// `None` once it is over.
    past: Option<Past>,
    /// Told with the next row: ClickHouse did not answer.
    is_past_left_out: bool,
}

/// What is sent before the first new attempt.
struct Past {
    since: DateTime<Utc>,
    /// `None` once it has been read to its end.
    logged: Option<Logged>,
    /// Attempts that PostgreSQL has: they are sent from there.
    elsewhere: HashSet<Uuid>,
    batches: VecDeque<i64>,
    rows: VecDeque<Arc<TailRow>>,
    began: Instant,
}

struct Logged {
    first: Option<AttemptRecord>,
    cursor: RowCursor<AttemptRecord>,
}

impl Tail {
    /// Only what is new.
    pub fn from_now(follower: Follower) -> Self {
        Self { follower, past: None, is_past_left_out: false }
    }

    /// What began or was recorded at `since` or later, then what is new. Where ClickHouse does
    /// not answer, what it alone has is left out, and the first row says so.
    pub async fn since(follower: Follower, log: &EventLog, since: DateTime<Utc>) -> Result<Self, StoreError> {
        let began = Instant::now();
        let logged = match tokio::time::timeout(ANSWER, begin(&follower, log, since)).await {
            Ok(Ok(logged)) => Some(logged),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a live tail begins without its past: ClickHouse could not be read");
                None
            }
            Err(_) => None,
        };
        let ago = began.elapsed() + SHIPPING;
        let pool = follower.pool();
        let mut batches = log_tails::not_surely_shipped(pool, since - CLOCKS, ago).await?;
        let mut elsewhere = HashSet::new();
        for some in batches.chunks(BATCHES) {
            let rows = rows_of(pool, some, &follower, since).await?;
            elsewhere.extend(rows.iter().map(|row| row.record.attempt_id));
        }
        batches.retain(|batch_id| follower.came_after(*batch_id));
        let is_past_left_out = logged.is_none();
        let past = Past { since, logged, elsewhere, batches: batches.into(), rows: VecDeque::new(), began };
        Ok(Self { follower, past: Some(past), is_past_left_out })
    }

    /// The next attempt, or why there will be none.
    pub async fn next(&mut self) -> Result<Tailed, TailEnd> {
        let past = match &mut self.past {
            Some(past) => past.next(&self.follower).await?,
            None => None,
        };
        let mut tailed = match past {
            Some(row) => Tailed { row, dropped_before: 0, is_past_left_out: false },
            None => {
                self.past = None;
                self.follower.next().await?
            }
        };
        tailed.is_past_left_out = std::mem::take(&mut self.is_past_left_out);
        Ok(tailed)
    }
}

/// Asks ClickHouse, and waits for the beginning of its answer.
async fn begin(
    follower: &Follower,
    log: &EventLog,
    since: DateTime<Utc>,
) -> Result<Logged, clickhouse::error::Error> {
    let (first, cursor) = attempts_since(log, follower.scope(), follower.filter(), since).await?;
    Ok(Logged { first, cursor })
}

async fn rows_of(
    pool: &Pool,
    batch_ids: &[i64],
    follower: &Follower,
    since: DateTime<Utc>,
) -> Result<Vec<Arc<TailRow>>, StoreError> {
    let batches = log_tails::read(pool, batch_ids).await?;
    let is_asked_for = |row: &Arc<TailRow>| {
        (row.record.started_at >= since || row.recorded_at >= since)
            && is_match(follower.scope(), follower.filter(), &row.record)
    };
    Ok(batches.iter().flat_map(decode).filter(is_asked_for).collect())
}

impl Past {
    async fn next(&mut self, follower: &Follower) -> Result<Option<Arc<TailRow>>, TailEnd> {
        while let Some(logged) = &mut self.logged {
            let record = match logged.first.take() {
                Some(first) => Some(first),
                None => logged.cursor.next().await.map_err(|error| {
                    tracing::warn!(%error, "the past of a live tail broke off");
                    TailEnd::HistoryUnreadable
                })?,
            };
            match record {
                Some(record) if self.elsewhere.contains(&record.attempt_id) => {}
                Some(record) => {
                    let recorded_at = record.started_at;
                    return Ok(Some(Arc::new(TailRow { record, recorded_at })));
                }
                None => self.logged = None,
            }
        }
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Some(row));
            }
            if self.batches.is_empty() {
                return Ok(None);
            }
            if self.began.elapsed() > PATIENCE {
                return Err(TailEnd::HistoryTooLong);
            }
            let some: Vec<i64> = self.batches.drain(..self.batches.len().min(BATCHES)).collect();
            let rows = rows_of(follower.pool(), &some, follower, self.since).await.map_err(|error| {
                tracing::warn!(%error, "the past of a live tail broke off");
                TailEnd::HistoryUnreadable
            })?;
            self.rows.extend(rows);
        }
    }
}
