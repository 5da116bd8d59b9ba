//! How long ClickHouse keeps the log, as the settings say.
//!
//! Parts go whole, when the last of their rows is out of date: nothing is rewritten for it, and a
//! row stays at most a month longer than it must.

use clickhouse::Row;
use serde::Deserialize;

use super::EventLog;
use super::reader::fetch::fetch_all;

/// In days, from the row's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRetention {
    pub attempt_days: u32,
    pub inbound_days: u32,
    pub click_days: u32,
    pub conversion_days: u32,
    /// Of what is counted by minute and day; not less than that of the attempts.
    pub rollup_days: u32,
}

impl LogRetention {
    /// Each table with the expression of when a row is out of date.
    fn tables(self) -> [(&'static str, String); 8] {
        let after = |time: &str, days: u32| format!("{time} + toIntervalDay({days})");
        [
            ("attempts", after("toDateTime(started_at)", self.attempt_days)),
            ("inbound_requests", after("toDateTime(received_at)", self.inbound_days)),
            ("clicks", after("toDateTime(clicked_at)", self.click_days)),
            ("conversion_events", after("toDateTime(recorded_at)", self.conversion_days)),
            ("attempts_by_minute", after("bucket", self.rollup_days)),
            ("attempts_by_day", after("bucket", self.rollup_days)),
            ("attempt_timings_by_day", after("bucket", self.rollup_days)),
            ("sent_timings", after("bucket", self.rollup_days)),
        ]
    }

    /// Makes the tables keep their rows so long; changes nothing where they do already. Returns the
    /// tables that were changed.
    pub async fn apply(self, log: &EventLog) -> Result<Vec<&'static str>, clickhouse::error::Error> {
        let found = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()";
        let found = fetch_all::<Engine>(log.client().query(found)).await?;
        let mut changed = Vec::new();
        for (table, expiry) in self.tables() {
            let stored = log.stored(table);
            let engine = found.iter().find(|row| row.name == stored);
            let is_so = engine.is_some_and(|row| {
                row.engine_full.contains(&format!("TTL {expiry} "))
                    && row.engine_full.contains("ttl_only_drop_parts = 1")
            });
            if is_so {
                continue;
            }
            let everywhere = log.everywhere();
            log.define(&format!("ALTER TABLE {stored}{everywhere} MODIFY SETTING ttl_only_drop_parts = 1"))
                .await?;
            log.define(&format!("ALTER TABLE {stored}{everywhere} MODIFY TTL {expiry}")).await?;
            changed.push(table);
        }
        Ok(changed)
    }
}

#[derive(Row, Deserialize)]
struct Engine {
    name: String,
    engine_full: String,
}
