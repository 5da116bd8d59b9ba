//! The deliveries that a filter of the log finds: each once, however many of its attempts match.

use chrono::{DateTime, TimeDelta, Utc};
use clickhouse::Row;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::attempts::{AttemptFilter, search_of};
use super::fetch::fetch_all;
use super::search::code;
use crate::domain::event::Event;
use crate::domain::retry::Outcome;
use crate::event_log::EventLog;
use crate::graphql::scope::Scope;

/// More than the clocks of two nodes ever differ.
pub const CLOCKS: TimeDelta = TimeDelta::minutes(10);

#[derive(Row, Deserialize)]
struct Matched {
    #[serde(with = "clickhouse::serde::uuid")]
    delivery_id: Uuid,
}

/// Up to `limit` deliveries past `after`, in the order of their ids, which is that of their events.
pub async fn matched_deliveries(
    log: &EventLog,
    scope: Scope,
    filter: &AttemptFilter,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Uuid>, clickhouse::error::Error> {
    let mut search = search_of(scope, filter);
    if let Some(after) = after {
        search.id_past("delivery_id", after);
        // No attempt begins before its event: what is older is not even read.
        if let Some(time) = time_of(after) {
            search.not_before(time - CLOCKS);
        }
    }
    let rest = format!(" GROUP BY delivery_id ORDER BY toString(delivery_id) LIMIT {limit}");
    let rows = fetch_all::<Matched>(search.statement(log, "SELECT ?fields", &rest)).await?;
    Ok(rows.into_iter().map(|row| row.delivery_id).collect())
}

/// Deliveries of one postback and event whose last attempt that matches came to one outcome.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct MatchedGroup {
    #[serde(rename = "destination", with = "clickhouse::serde::uuid")]
    pub postback_id: Uuid,
    #[serde(rename = "what", deserialize_with = "event")]
    pub event: Event,
    #[serde(rename = "came_to", deserialize_with = "outcome")]
    pub outcome: Outcome,
    pub deliveries: u64,
    /// How many of them are of an event before the given time.
    pub before: u64,
}

/// All deliveries that match, counted; those of events before `kept_from` beside the others.
pub async fn matched_groups(
    log: &EventLog,
    scope: Scope,
    filter: &AttemptFilter,
    kept_from: Option<DateTime<Utc>>,
) -> Result<Vec<MatchedGroup>, clickhouse::error::Error> {
    let first_kept = kept_from.map_or(Uuid::nil(), first_id_at);
    let search = search_of(scope, filter);
    // Other names than the table's: ClickHouse would take the conditions' columns for these.
    let select = "SELECT ?fields FROM (SELECT any(postback_id) AS destination, any(event) AS what, \
                  argMax(outcome, attempt) AS came_to, toString(delivery_id) AS delivery";
    let rest = " GROUP BY delivery_id) GROUP BY destination, what, came_to";
    let select = select.replace(
        "?fields",
        "destination, what, came_to, count() AS deliveries, countIf(delivery < {first_kept:String}) AS before",
    );
    fetch_all(search.statement(log, &select, rest).param("first_kept", first_kept.to_string())).await
}

/// The time in a UUIDv7.
pub fn time_of(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

/// The least UUIDv7 of a time.
fn first_id_at(time: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::try_from(time.timestamp_millis()).unwrap_or(0) << 80)
}

fn event<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    code(deserializer, Event::from_code)
}

fn outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
    code(deserializer, Outcome::from_code)
}
