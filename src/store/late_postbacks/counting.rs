//! Counts the past of a postback, for as long as it may: a past can be longer than anybody waits.
//!
//! It is counted a part of its time after another, from its beginning on. So whenever the time is
//! over there is something to show, and the moment up to which it is the truth.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{Client, Pool, Transaction};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{FOR_LISTENER, Listener, Values, changes, event};
use crate::domain::event::Event;
use crate::domain::facts::EventMacros;
use crate::domain::ids::DeliveryId;
use crate::domain::postback::Owner;
use crate::store::delivery_jobs::PastSelection;
use crate::store::error::StoreError;

/// What happened to the events of one kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PastEvents {
    /// Those without a delivery to the postback, which it would get.
    pub missing: u64,
    /// Those it has heard of, or will.
    pub has_delivery: u64,
    /// Those without a delivery that its condition keeps back.
    pub kept_back: u64,
}

/// The past of a postback, counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Count {
    pub events: BTreeMap<Event, PastEvents>,
    /// Why events are kept back; those beyond [`MOST_REASONS`] reasons are counted by event alone.
    pub reasons: BTreeMap<String, u64>,
    /// What was recorded from here on is not counted. `None`: all is.
    pub counted_until: Option<DateTime<Utc>>,
}

/// Most reasons that are told apart: they hold the values of their events, so each may be another.
pub const MOST_REASONS: usize = 100;

/// Whether the postback's condition is looked at. Only the facts say what it makes of them, so they
/// are read, which takes far longer than counting them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judging {
    Nothing,
    ByCondition,
}

/// The first part of the time is so long; the following ones are as long as PostgreSQL likes them.
const FIRST_PART: TimeDelta = TimeDelta::hours(6);
const SHORTEST_PART: TimeDelta = TimeDelta::minutes(1);
const LONGEST_PART: TimeDelta = TimeDelta::days(366);
/// A part that took less is followed by one of twice its time, one that took more by half of it.
const QUICK: Duration = Duration::from_millis(250);
const SLOW: Duration = Duration::from_secs(1);

/// Changes judged at once.
const JUDGED: usize = 1_000;

impl Listener {
    fn owner(&self) -> Owner {
        Owner::of(self.partner_id, self.advertiser_id)
    }

    fn listens_to(&self, event: Event) -> bool {
        self.events.iter().any(|code| code == event.code())
    }
}

impl Count {
    /// Events that a job looks at.
    pub fn looked_at(&self) -> u64 {
        self.events.values().map(|one| one.missing + one.has_delivery + one.kept_back).sum()
    }

    fn add(&mut self, part: Self) {
        for (event, more) in part.events {
            let one = self.events.entry(event).or_default();
            one.missing += more.missing;
            one.has_delivery += more.has_delivery;
            one.kept_back += more.kept_back;
        }
        for (reason, count) in part.reasons {
            self.keep_back(reason, count);
        }
    }

    fn keep_back(&mut self, reason: String, count: u64) {
        if self.reasons.len() < MOST_REASONS || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}

/// Counts what the past holds for a postback, for as long as `time`. Without [`Judging`], what its
/// condition would keep back counts as missing.
pub async fn count(
    pool: &Pool,
    listener: &Listener,
    past: &PastSelection,
    history_from: Option<DateTime<Utc>>,
    judging: Judging,
    time: Duration,
) -> Result<Count, StoreError> {
    let deadline = Instant::now() + time;
    let mut counted = Count::default();
    let Some(history_from) = history_from else { return Ok(counted) };
    let mut from = past.from.unwrap_or(history_from).max(history_from);
    let mut length = FIRST_PART;
    let mut client = pool.get().await?;
    while from < past.to {
        let to = (from + length).min(past.to);
        let part = PastSelection { from: Some(from), to, ..past.clone() };
        let began = Instant::now();
        let transaction = read_only(&mut client, deadline).await?;
        let found = match judging {
            Judging::ByCondition if listener.condition.is_some() => {
                judge(&transaction, listener, &part, deadline).await
            }
            _ => tally(&transaction, listener, &part).await,
        };
        let Some(found) = in_time(found)? else {
            counted.counted_until = Some(from);
            break;
        };
        counted.add(found);
        from = to;
        length = match began.elapsed() {
            took if took < QUICK => (length * 2).min(LONGEST_PART),
            took if took > SLOW => (length / 2).max(SHORTEST_PART),
            _ => length,
        };
    }
    Ok(counted)
}

/// A transaction whose first statement PostgreSQL ends at the deadline.
async fn read_only(client: &mut Client, deadline: Instant) -> Result<Transaction<'_>, StoreError> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    end_at(&transaction, deadline).await?;
    Ok(transaction)
}

/// From now on statements end at the deadline, and at once where it has passed.
async fn end_at(transaction: &Transaction<'_>, deadline: Instant) -> Result<(), tokio_postgres::Error> {
    // Rounded up: what ends a statement has ended its time by our clock as well.
    let left_ms = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
    transaction.batch_execute(&format!("SET LOCAL statement_timeout = '{left_ms}ms'")).await
}

/// `None`: there was no time.
fn in_time<T>(read: Result<T, ReadError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ReadError::NoTime) => Ok(None),
        Err(ReadError::Store(error)) => Err(error),
    }
}

/// Why a part could not be read.
enum ReadError {
    /// It took too long.
    NoTime,
    Store(StoreError),
}

impl From<tokio_postgres::Error> for ReadError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::QUERY_CANCELED) => Self::NoTime,
            _ => Self::Store(error.into()),
        }
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Counts without a look at the condition.
async fn tally(
    transaction: &Transaction<'_>,
    listener: &Listener,
    past: &PastSelection,
) -> Result<Count, ReadError> {
    let values = Values::of(listener, past);
    let mut parameters = values.parameters();
    parameters.push(&listener.postback_id.0);
    // The id of a delivery has the time of its change: those of the same time are looked at.
    let statement = format!(
        "WITH have AS (
             SELECT change_id, event FROM deliveries
             WHERE postback_id = $11 AND resent_from IS NULL AND delivery_id >= $1 AND delivery_id < $2
             UNION ALL
             SELECT change_id, event FROM deliveries_finished
             WHERE postback_id = $11 AND resent_from IS NULL AND delivery_id >= $1 AND delivery_id < $2
         )
         SELECT event, count(*) FILTER (WHERE have.change_id IS NULL),
                count(*) FILTER (WHERE have.change_id IS NOT NULL)
         FROM (SELECT change_id, unnest(events) AS event FROM conversion_history WHERE {FOR_LISTENER}) AS past
              LEFT JOIN have USING (change_id, event)
         WHERE event = ANY($3)
         GROUP BY event"
    );
    let rows = transaction.query(&statement, &parameters).await?;
    let read = |row: &Row| -> Result<_, StoreError> {
        let count = |index| row.get::<_, i64>(index).unsigned_abs();
        Ok((event(row.get(0))?, PastEvents { missing: count(1), has_delivery: count(2), kept_back: 0 }))
    };
    let events = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Count { events, ..Count::default() })
}

/// Counts what the condition makes of the events, a thousand changes at once.
async fn judge(
    transaction: &Transaction<'_>,
    listener: &Listener,
    past: &PastSelection,
    deadline: Instant,
) -> Result<Count, ReadError> {
    let mut counted = Count::default();
    let mut after = None;
    loop {
        if Instant::now() >= deadline {
            return Err(ReadError::NoTime);
        }
        end_at(transaction, deadline).await?;
        let page = match changes(transaction, listener, past, after, JUDGED).await {
            // Whatever PostgreSQL says when the time is over.
            Err(_) if Instant::now() >= deadline => return Err(ReadError::NoTime),
            page => page?,
        };
        let mut heard = Vec::new();
        for change in &page {
            for event in change.events.iter().copied().filter(|event| listener.listens_to(*event)) {
                heard.push((
                    DeliveryId::of(change.change_id, listener.postback_id, event.code()),
                    event,
                    change,
                ));
            }
        }
        let ids: Vec<Uuid> = heard.iter().map(|(id, _, _)| id.0).collect();
        let delivered = delivered(transaction, &ids).await?;
        for (id, event, change) in heard {
            let one = counted.events.entry(event).or_default();
            let judged = listener.condition.as_ref().map(|condition| {
                condition
                    .judge(&EventMacros {
                        event,
                        facts: &change.facts,
                        owner: listener.owner(),
                        names: &change.names,
                    })
                    .map_err(|unmet| unmet.to_string())
            });
            match judged {
                _ if delivered.contains(&id.0) => one.has_delivery += 1,
                Some(Err(reason)) => {
                    one.kept_back += 1;
                    counted.keep_back(reason, 1);
                }
                Some(Ok(())) | None => one.missing += 1,
            }
        }
        match page.last() {
            Some(last) if page.len() == JUDGED => after = Some(last.change_id.0),
            _ => return Ok(counted),
        }
    }
}

/// Those of the deliveries that are in the queue or finished.
async fn delivered(transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<HashSet<Uuid>, ReadError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = "SELECT delivery_id FROM deliveries WHERE delivery_id = ANY($1)
                     UNION SELECT delivery_id FROM deliveries_finished WHERE delivery_id = ANY($1)";
    let rows = transaction.query(statement, &[&ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Conversions of the time asked for that were recorded before the history begins. `None`: they
/// could not be counted within `time`.
pub async fn count_forgotten(
    pool: &Pool,
    listener: &Listener,
    past: &PastSelection,
    history_from: Option<DateTime<Utc>>,
    time: Duration,
) -> Result<Option<u64>, StoreError> {
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &past.to,
        &history_from,
        &past.from,
        &listener.partner_id,
        &listener.advertiser_id,
        &listener.offer_id,
        &listener.link_id,
        &past.include_tests,
        &listener.replaced_offers,
        &listener.replaced_links,
    ];
    let statement = "SELECT count(*) FROM conversions
         WHERE created_at < least($1::timestamptz, $2::timestamptz)
           AND ($3::timestamptz IS NULL OR created_at >= $3)
           AND ($4::uuid IS NULL OR partner_id = $4) AND ($5::uuid IS NULL OR advertiser_id = $5)
           AND ($6::uuid IS NULL OR offer_id = $6) AND ($7::uuid IS NULL OR link_id = $7)
           AND ($8 OR NOT is_test)
           AND offer_id::text <> ALL($9) AND link_id::text <> ALL($10)";
    let mut client = pool.get().await?;
    let transaction = read_only(&mut client, Instant::now() + time).await?;
    let counted = transaction.query_one(statement, &parameters).await;
    in_time(counted.map(|row| row.get::<_, i64>(0).unsigned_abs()).map_err(ReadError::from))
}
