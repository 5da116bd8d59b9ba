//! Materialized views that keep figures of the log, and how one is filled from what the log holds
//! already.
//!
//! A view exists only once its table is filled: whoever is interrupted before that leaves no view
//! behind, and the next one starts over. So nothing is counted twice, however often it is tried.
//! The caller sees to it that nothing is inserted meanwhile.

use chrono::{DateTime, Days, NaiveTime, Utc};
use clickhouse::error::Error;

use super::EventLog;
use super::reader::fetch::fetch_one;
use super::rows::Log;

/// `CREATE MATERIALIZED VIEW IF NOT EXISTS … TO … AS SELECT … FROM a log …`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct View<'a> {
    name: &'a str,
    /// The table it writes to.
    pub target: &'a str,
    /// The log it reads.
    pub log: Log,
    select: &'a str,
    statement: &'a str,
}

impl<'a> View<'a> {
    /// `None` where the statement makes no view of a log.
    pub fn read(statement: &'a str) -> Option<Self> {
        let (_, view) = statement.split_once("CREATE MATERIALIZED VIEW IF NOT EXISTS ")?;
        let (head, select) = view.split_once(" AS\n")?;
        let (name, target) = head.split_once(" TO ")?;
        let log = Log::ALL.into_iter().find(|log| select.lines().any(|line| line == from(*log)))?;
        Some(Self { name, target, log, select, statement })
    }

    pub async fn exists(&self, log: &EventLog) -> Result<bool, Error> {
        let count = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = ?";
        Ok(fetch_one::<u64>(log.client().query(count).bind(self.name)).await? > 0)
    }

    /// Fills the table from the log, a UTC day at a time so that memory stays bounded, then makes
    /// the view. Figures of days before the oldest row are left as they are.
    pub async fn fill(&self, log: &EventLog) -> Result<(), Error> {
        if let Some((oldest, newest)) = self.span(log).await? {
            let mut day = oldest.with_time(NaiveTime::MIN).single().unwrap_or(oldest);
            let emptied = format!(
                "ALTER TABLE {}{} DELETE WHERE bucket >= {}",
                log.stored(self.target),
                log.everywhere(),
                second(day)
            );
            log.define(&emptied).await?;
            while day <= newest {
                let next = day + Days::new(1);
                log.define(&self.insert(day, next)).await?;
                day = next;
            }
        }
        log.migrate(self.statement).await
    }

    /// Time of the oldest and of the newest row.
    async fn span(&self, log: &EventLog) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, Error> {
        let (table, time) = (self.log.table(), self.log.time_column());
        let select = format!(
            "SELECT count(), toInt64(toUnixTimestamp(min({time}))), toInt64(toUnixTimestamp(max({time}))) FROM {table}"
        );
        let (rows, oldest, newest) = fetch_one::<(u64, i64, i64)>(log.client().query(&select)).await?;
        let times = DateTime::from_timestamp(oldest, 0).zip(DateTime::from_timestamp(newest, 0));
        Ok(times.filter(|_| rows > 0))
    }

    fn insert(&self, from_time: DateTime<Utc>, to_time: DateTime<Utc>) -> String {
        let (table, time) = (self.log.table(), self.log.time_column());
        let rows = format!(
            "FROM (SELECT * FROM {table} WHERE {time} >= {} AND {time} < {})",
            second(from_time),
            second(to_time)
        );
        let lines: Vec<&str> = self
            .select
            .lines()
            .map(|line| if line == from(self.log) { rows.as_str() } else { line })
            .collect();
        format!("INSERT INTO {} {}", self.target, lines.join("\n"))
    }
}

/// The line that a view's select names its log in.
fn from(log: Log) -> &'static str {
    match log {
        Log::Attempts => "FROM attempts",
        Log::InboundRequests => "FROM inbound_requests",
        Log::Clicks => "FROM clicks",
        Log::ConversionEvents => "FROM conversion_events",
    }
}

fn second(time: DateTime<Utc>) -> String {
    format!("toDateTime({}, 'UTC')", time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = "-- Why.\nCREATE MATERIALIZED VIEW IF NOT EXISTS a_to_b TO b AS\nSELECT\n    \
                             toStartOfDay(started_at) AS bucket,\n    count() AS n\nFROM attempts\nGROUP BY bucket";

    #[test]
    fn a_day_is_filled_by_the_views_own_select() {
        let view = View::read(STATEMENT).unwrap();
        assert_eq!((view.name, view.target, view.log), ("a_to_b", "b", Log::Attempts));
        let day = DateTime::from_timestamp(86_400, 0).unwrap();
        let expected = "INSERT INTO b SELECT\n    toStartOfDay(started_at) AS bucket,\n    count() AS n\n\
                        FROM (SELECT * FROM attempts WHERE started_at >= toDateTime(86400, 'UTC') \
                        AND started_at < toDateTime(172800, 'UTC'))\nGROUP BY bucket";
        assert_eq!(view.insert(day, day + Days::new(1)), expected);
    }

    #[test]
    fn other_statements_are_no_views() {
        assert_eq!(View::read("CREATE TABLE IF NOT EXISTS a (b UInt8) ENGINE = Memory"), None);
    }
}
