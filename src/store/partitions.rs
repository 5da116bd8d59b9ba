//! Monthly partitions: made ahead, dropped when retention lets them go.
//!
//! The keys are UUIDv7, which begin with their time in milliseconds, so a range of keys is a
//! range of time.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use deadpool_postgres::Pool;
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;

/// Months kept ready after the current one.
const MONTHS_AHEAD: u32 = 2;

/// One partition keeper at a time, over all nodes.
const ADVISORY_LOCK: i64 = 0x5249_434f_5041_5254;

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
/// drops those that ended longer than the retention ago. Returns the names of what was dropped.
pub async fn keep(pool: &Pool, retention: Retention, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
    let session = Session::checkout(pool).await?;
    session.batch_execute("BEGIN").await?;
    // Two nodes that make the same partition would trip over each other.
    session.execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK]).await?;
    let mut dropped = Vec::new();
    for (table, days) in retention.tables() {
        let rows = session
            .query(
                "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                 WHERE inhparent = $1::text::regclass ORDER BY relname",
                &[&table],
            )
            .await?;
        let existing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();

        let first = first_of_month(now.date_naive()) - Months::new(1);
        for month in (0..=MONTHS_AHEAD + 1).map(|months| first + Months::new(months)) {
            let name = partition_name(table, month);
            // Making a partition locks its table, so it is not even tried in vain.
            if !existing.contains(&name) {
                session
                    .batch_execute(&format!(
                        "CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{}') TO ('{}')",
                        first_key(month),
                        first_key(month + Months::new(1)),
                    ))
                    .await?;
            }
        }
        let kept_from = now.date_naive() - Days::new(u64::from(days));
        for name in existing {
            let Some(month) = month_of(table, &name).filter(|month| *month + Months::new(1) <= kept_from)
            else {
                continue;
            };
            if table == "clicks" || !is_awaited(&session, &name, month).await? {
                session.batch_execute(&format!("DROP TABLE {name}")).await?;
                dropped.push(name);
            }
        }
    }
    session.commit().await?;
    session.give_back();
    Ok(dropped)
}

/// Makes the partitions of the months from `first` until now, for a past that is written at once.
pub async fn make_since(pool: &Pool, first: NaiveDate, now: DateTime<Utc>) -> Result<(), StoreError> {
    let session = Session::checkout(pool).await?;
    session.batch_execute("BEGIN").await?;
    session.execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK]).await?;
    for table in TABLES {
        let mut month = first_of_month(first);
        while month <= now.date_naive() {
            session
                .batch_execute(&format!(
                    "CREATE TABLE IF NOT EXISTS {} PARTITION OF {table} FOR VALUES FROM ('{}') TO ('{}')",
                    partition_name(table, month),
                    first_key(month),
                    first_key(month + Months::new(1)),
                ))
                .await?;
            month = month + Months::new(1);
        }
    }
    session.commit().await?;
    session.give_back();
    Ok(())
}

/// Whether a delivery still waits that is of an event of this month: it is filled with the month's
/// history, and ends among its finished deliveries. Who makes one has read the history before, so
/// the lock is got after them, and their delivery is seen.
async fn is_awaited(session: &Session, partition: &str, month: NaiveDate) -> Result<bool, StoreError> {
    session.batch_execute(&format!("LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE")).await?;
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
