//! Monthly partitions: made ahead, dropped when retention lets them go.
//!
//! The keys are UUIDv7, which begin with their time in milliseconds, so a range of keys is a
//! range of time.
//!
//! Every claim and every recording uses these tables, and would queue behind a chore that waits for
//! a lock while somebody's long transaction (a dump) holds them. So a partition is made as a table of
//! its own and attached, which waits for no reader or writer; and one is dropped only where the lock
//! is had at once, or else another time. Detaching concurrently would wait for that long transaction
//! as well, and leave a partition half detached where it gives up.

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use deadpool_postgres::Pool;
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;

/// Months kept ready after the current one.
const MONTHS_AHEAD: u32 = 2;

/// One partition keeper at a time, over all nodes.
const ADVISORY_LOCK: i64 = 0x5249_434f_5041_5254;

/// How long making a partition waits for a lock at a time.
const MAKING_PATIENCE: Duration = Duration::from_millis(300);
/// How long everybody may wait behind a partition that is to be dropped, each time.
const DROPPING_PATIENCE: Duration = Duration::from_millis(50);
/// Nor do they wait for a longer look through what is still to be delivered.
const LONGEST_LOOK: Duration = Duration::from_millis(200);
/// How often either is tried, and after what pause.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(400);

/// Each partitioned table with its retention, in days.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub clicks_days: u32,
    pub history_days: u32,
}

const TABLES: [&str; 3] = ["clicks", "conversion_history", "deliveries_finished"];

impl Retention {
    fn tables(self) -> [(&'static str, u32); 3] {
        let [clicks, history, finished] = TABLES;
        [(clicks, self.clicks_days), (history, self.history_days), (finished, self.history_days)]
    }
}

/// Makes the partitions of last month (clocks differ) to `MONTHS_AHEAD` months from `now`, and
/// drops those that ended longer than the retention ago. Returns the names of what was dropped; what
/// somebody uses is left for the next time.
pub async fn keep(pool: &Pool, retention: Retention, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
    let mut dropped = Vec::new();
    let mut failed = None;
    for (table, days) in retention.tables() {
        let existing = partitions_of(pool, table).await?;
        let first = first_of_month(now.date_naive()) - Months::new(1);
        for month in (0..=MONTHS_AHEAD + 1).map(|months| first + Months::new(months)) {
            if !existing.contains(&partition_name(table, month))
                && let Err(error) = make(pool, table, month).await
            {
                // The other tables and months are not to wait for this one.
                failed = failed.or(Some(error));
            }
        }
        let kept_from = now.date_naive() - Days::new(u64::from(days));
        for name in existing {
            let Some(month) = month_of(table, &name).filter(|month| *month + Months::new(1) <= kept_from)
            else {
                continue;
            };
            match again_and_again(|| drop_unless_awaited(pool, table, &name, month)).await {
                Ok(Dropped::Yes) => dropped.push(name),
                Ok(Dropped::No) => {}
                Err(error) => {
                    tracing::info!(%error, partition = name, "a partition past its retention is dropped another time");
                }
            }
        }
    }
    failed.map_or(Ok(dropped), Err)
}

/// Whether what is recorded at `now` has its partitions.
pub async fn are_ready(pool: &Pool, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let month = first_of_month(now.date_naive());
    for table in TABLES {
        if !partitions_of(pool, table).await?.contains(&partition_name(table, month)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the partitions of the months from `first` until now, for a past that is written at once.
pub async fn make_since(pool: &Pool, first: NaiveDate, now: DateTime<Utc>) -> Result<(), StoreError> {
    for table in TABLES {
        let existing = partitions_of(pool, table).await?;
        let mut month = first_of_month(first);
        while month <= now.date_naive() {
            if !existing.contains(&partition_name(table, month)) {
                make(pool, table, month).await?;
            }
            month = month + Months::new(1);
        }
    }
    Ok(())
}

async fn partitions_of(pool: &Pool, table: &str) -> Result<Vec<String>, StoreError> {
    let rows = pool
        .get()
        .await?
        .query(
            "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = $1::text::regclass ORDER BY relname",
            &[&table],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A transaction of the one keeper that may work on partitions, over all nodes: two that make the
/// same partition would trip over each other. It waits for no lock longer than `patience`.
async fn begin(pool: &Pool, patience: Duration) -> Result<Session, StoreError> {
    let session = Session::checkout(pool).await?;
    let begin = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({ADVISORY_LOCK}); SET LOCAL lock_timeout = {}",
        patience.as_millis()
    );
    session.batch_execute(&begin).await?;
    Ok(session)
}

/// Attaching takes a lock that neither readers nor writers of the table hold, but other chores do:
/// vacuum, another node's, an index that is being made.
async fn make(pool: &Pool, table: &str, month: NaiveDate) -> Result<(), StoreError> {
    again_and_again(|| try_to_make(pool, table, month)).await
}

async fn again_and_again<T, Work>(work: impl Fn() -> Work) -> Result<T, StoreError>
where
    Work: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 1;
    loop {
        match work().await {
            Err(StoreError::Unavailable(_) | StoreError::Raced(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            result => break result,
        }
    }
}

async fn try_to_make(pool: &Pool, table: &str, month: NaiveDate) -> Result<(), StoreError> {
    let name = partition_name(table, month);
    let session = begin(pool, MAKING_PATIENCE).await?;
    // Another node may have made it since.
    let is_there = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1))";
    if !session.query_one(is_there, &[&name]).await?.get::<_, bool>(0) {
        let (first, next) = (first_key(month), first_key(month + Months::new(1)));
        session
            .batch_execute(&format!(
                "CREATE TABLE IF NOT EXISTS {name} (LIKE {table} INCLUDING ALL);
                 ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{next}')"
            ))
            .await?;
    }
    session.commit().await?;
    session.give_back();
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dropped {
    Yes,
    No,
}

async fn drop_unless_awaited(
    pool: &Pool,
    table: &str,
    name: &str,
    month: NaiveDate,
) -> Result<Dropped, StoreError> {
    let session = begin(pool, DROPPING_PATIENCE).await?;
    // A forgotten pause may keep a month for ever: it is looked for before anything is locked, and
    // that also tells how long it takes.
    let began = Instant::now();
    let is_kept = table != "clicks" && is_awaited(&session, month).await?;
    if began.elapsed() > LONGEST_LOOK {
        session.batch_execute("ROLLBACK").await?;
        session.give_back();
        return Err(StoreError::Unavailable("the queue is too long to be looked through meanwhile".into()));
    }
    if !is_kept {
        // Who makes a delivery has read the history before, so the lock is got after them, and their
        // delivery is seen. The table comes first, as in every query of it: none of them meets this
        // one crosswise.
        let lock = format!("LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE; LOCK TABLE {name}");
        session.batch_execute(&lock).await?;
        if table == "clicks" || !is_awaited(&session, month).await? {
            session.batch_execute(&format!("DROP TABLE {name}; COMMIT")).await?;
            session.give_back();
            return Ok(Dropped::Yes);
        }
    }
    session.batch_execute("ROLLBACK").await?;
    session.give_back();
    Ok(Dropped::No)
}

/// Whether a delivery still waits that is of an event of this month: it is filled with the month's
/// history, and ends among its finished deliveries.
async fn is_awaited(session: &Session, month: NaiveDate) -> Result<bool, StoreError> {
    let (first, next) = (first_key(month), first_key(month + Months::new(1)));
    let awaited = "SELECT EXISTS (SELECT FROM deliveries WHERE change_id >= $1 AND change_id < $2)";
    Ok(session.query_one(awaited, &[&first, &next]).await?.get(0))
}

fn first_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).expect("every month has a first day")
}

fn partition_name(table: &str, month: NaiveDate) -> String {
    format!("{table}_{}", month.format("%Y_%m"))
}

fn month_of(table: &str, partition: &str) -> Option<NaiveDate> {
    let month = partition.strip_prefix(table)?.strip_prefix('_')?;
    NaiveDate::parse_from_str(&format!("{month}_01"), "%Y_%m_%d").ok()
}

/// The least UUIDv7 of a month: its time, and zeros.
fn first_key(month: NaiveDate) -> Uuid {
    let midnight = month.and_hms_opt(0, 0, 0).expect("midnight exists in UTC").and_utc();
    let milliseconds = u128::try_from(midnight.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(milliseconds << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_month_fall_into_its_partition() {
        let month = NaiveDate::from_ymd_opt(2026, 11, 1).unwrap();
        let time = DateTime::parse_from_rfc3339("2026-11-20T10:00:00Z").unwrap();
        let seconds = u64::try_from(time.timestamp()).unwrap();
        let key = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
        assert!(first_key(month) <= key && key < first_key(month + Months::new(1)));
        assert_eq!(month_of("clicks", &partition_name("clicks", month)), Some(month));
        assert_eq!(month_of("clicks", "clicks_default"), None);
    }
}
