//! The past of a postback: conversions recorded before it was there to hear of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use deadpool_postgres::{GenericClient, Pool};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::deliveries::NewDelivery;
use super::delivery_jobs::PastSelection;
use super::error::StoreError;
use super::resend::scope_columns;
use super::setup::ChangeError;
use crate::domain::condition::Condition;
use crate::domain::event::Event;
use crate::domain::facts::{EventFacts, EventMacros};
use crate::domain::ids::{ChangeId, DeliveryId, PostbackId};
use crate::graphql::scope::Scope;

/// A postback, as far as it says which events are for it.
#[derive(Debug, Clone)]
pub struct Listener {
    pub postback_id: PostbackId,
    partner_id: Option<Uuid>,
    advertiser_id: Option<Uuid>,
    offer_id: Option<Uuid>,
    link_id: Option<Uuid>,
    events: Vec<String>,
    condition: Option<Arc<Condition>>,
}

/// The postback, if it is in scope and not deleted.
pub async fn listener(pool: &Pool, scope: Scope, id: PostbackId) -> Result<Listener, ChangeError> {
    let (advertiser, partner) = scope_columns(scope);
    let row = pool
        .get()
        .await?
        .query_opt(
            "SELECT * FROM postbacks WHERE postback_id = $1 AND deleted_at IS NULL
             AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)",
            &[&id.0, &advertiser, &partner],
        )
        .await?
        .ok_or(ChangeError::NotFound { field: "postback_id", what: "postback" })?;
    let condition: Option<String> = row.get("condition");
    let condition = condition.map(|source| Condition::shared(&source)).transpose();
    let condition =
        condition.map_err(|error| StoreError::Unreadable(format!("postbacks.condition: {error}")))?;
    Ok(Listener {
        condition,
        postback_id: id,
        partner_id: row.get("partner_id"),
        advertiser_id: row.get("advertiser_id"),
        offer_id: row.get("offer_id"),
        link_id: row.get("link_id"),
        events: row.get("events"),
    })
}

/// When the history begins: what was recorded before is gone. `None`: there is no history.
pub async fn history_from(pool: &Pool) -> Result<Option<DateTime<Utc>>, StoreError> {
    let row = pool
        .get()
        .await?
        .query_one(
            "SELECT min(relname::text) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = 'conversion_history'::regclass",
            &[],
        )
        .await?;
    let name: Option<String> = row.get(0);
    let month = name.and_then(|name| {
        let month = name.strip_prefix("conversion_history_")?.to_owned();
        NaiveDate::parse_from_str(&format!("{month}_01"), "%Y_%m_%d").ok()
    });
    Ok(month.and_then(|month| month.and_hms_opt(0, 0, 0)).map(|midnight| midnight.and_utc()))
}

/// The least change id of a time, rounded up to the millisecond.
pub fn first_change_at(time: DateTime<Utc>) -> Uuid {
    let milliseconds = (time + TimeDelta::microseconds(999)).timestamp_millis();
    Uuid::from_u128(u128::try_from(milliseconds).unwrap_or(0) << 80)
}

/// What stands in both statements: the listener's events, its place in the network, its time.
const FOR_LISTENER: &str = "change_id >= $1 AND change_id < $2 AND events && $3
    AND ($4::text IS NULL OR facts ->> 'partner_id' = $4)
    AND ($5::text IS NULL OR facts ->> 'advertiser_id' = $5)
    AND ($6::text IS NULL OR facts ->> 'offer_id' = $6)
    AND ($7::text IS NULL OR facts ->> 'link_id' = $7)
    AND ($8 OR NOT (facts ->> 'is_test')::boolean)";

struct Values<'a> {
    from: Uuid,
    to: Uuid,
    events: &'a [String],
    places: [Option<String>; 4],
    include_tests: bool,
}

impl<'a> Values<'a> {
    fn of(listener: &'a Listener, past: &PastSelection) -> Self {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string());
        Self {
            from: past.from.map_or(Uuid::nil(), first_change_at),
            to: first_change_at(past.to),
            events: &listener.events,
            places: [listener.partner_id, listener.advertiser_id, listener.offer_id, listener.link_id]
                .map(text),
            include_tests: past.include_tests,
        }
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let [partner, advertiser, offer, link] = &self.places;
        vec![&self.from, &self.to, &self.events, partner, advertiser, offer, link, &self.include_tests]
    }
}

/// Events of one kind in the past of a postback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastEvents {
    pub event: Event,
    /// Those without a delivery to the postback.
    pub missing: u64,
    /// Those it has heard of, or will.
    pub has_delivery: u64,
}

/// Counts what the past holds for a postback. Its condition is not looked at here, but by
/// [`count_kept_back`].
pub async fn count(
    pool: &Pool,
    listener: &Listener,
    past: &PastSelection,
) -> Result<Vec<PastEvents>, StoreError> {
    let values = Values::of(listener, past);
    let mut parameters = values.parameters();
    parameters.push(&listener.postback_id.0);
    let statement = format!(
        "WITH have AS (
             SELECT change_id, event FROM deliveries WHERE postback_id = $9 AND resent_from IS NULL
             UNION ALL
             SELECT change_id, event FROM deliveries_finished
             WHERE postback_id = $9 AND resent_from IS NULL AND delivery_id >= $1 AND delivery_id < $2
         )
         SELECT event, count(*) FILTER (WHERE have.change_id IS NULL),
                count(*) FILTER (WHERE have.change_id IS NOT NULL)
         FROM (SELECT change_id, unnest(events) AS event FROM conversion_history WHERE {FOR_LISTENER}) AS past
              LEFT JOIN have USING (change_id, event)
         WHERE event = ANY($3)
         GROUP BY event ORDER BY event"
    );
    let rows = pool.get().await?.query(&statement, &parameters).await?;
    rows.iter()
        .map(|row| {
            let count = |index| row.get::<_, i64>(index).unsigned_abs();
            Ok(PastEvents { event: event(row.get(0))?, missing: count(1), has_delivery: count(2) })
        })
        .collect()
}

/// Why a postback's condition keeps events of the past back, and how many.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct KeptBack {
    pub by_event: BTreeMap<Event, u64>,
    /// By reason; events beyond [`MOST_REASONS`] reasons are counted by event alone.
    pub reasons: BTreeMap<String, u64>,
}

/// Most reasons that are told apart: they hold the values of their events, so each may be another.
pub const MOST_REASONS: usize = 100;

/// Changes judged at once.
const JUDGED: usize = 1_000;

/// Counts what the condition keeps back of the events without a delivery. Reads the past itself, a
/// thousand changes at once, as only the facts say what a condition makes of them.
pub async fn count_kept_back(
    pool: &Pool,
    listener: &Listener,
    past: &PastSelection,
) -> Result<KeptBack, StoreError> {
    let mut kept_back = KeptBack::default();
    let Some(condition) = &listener.condition else { return Ok(kept_back) };
    let mut after = None;
    loop {
        let page = changes(pool, listener, past, after, JUDGED).await?;
        let mut unmet: BTreeMap<Uuid, (Event, String)> = BTreeMap::new();
        for change in &page {
            let heard = change.events.iter().filter(|event| listener.listens_to(**event));
            for &event in heard {
                if let Err(reason) = condition.judge(&EventMacros { event, facts: &change.facts }) {
                    let id = DeliveryId::of(change.change_id, listener.postback_id, event.code());
                    unmet.insert(id.0, (event, reason.to_string()));
                }
            }
        }
        for id in delivered(pool, &unmet.keys().copied().collect::<Vec<_>>()).await? {
            unmet.remove(&id);
        }
        for (event, reason) in unmet.into_values() {
            *kept_back.by_event.entry(event).or_default() += 1;
            if kept_back.reasons.len() < MOST_REASONS || kept_back.reasons.contains_key(&reason) {
                *kept_back.reasons.entry(reason).or_default() += 1;
            }
        }
        match page.last() {
            Some(last) if page.len() == JUDGED => after = Some(last.change_id.0),
            _ => return Ok(kept_back),
        }
    }
}

/// Those of the deliveries that are in the queue or finished.
async fn delivered(pool: &Pool, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = "SELECT delivery_id FROM deliveries WHERE delivery_id = ANY($1)
                     UNION SELECT delivery_id FROM deliveries_finished WHERE delivery_id = ANY($1)";
    let rows = pool.get().await?.query(statement, &[&ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

impl Listener {
    fn listens_to(&self, event: Event) -> bool {
        self.events.iter().any(|code| code == event.code())
    }
}

/// Conversions of the time asked for that were recorded before the history begins.
pub async fn count_forgotten(
    pool: &Pool,
    listener: &Listener,
    past: &PastSelection,
    history_from: Option<DateTime<Utc>>,
) -> Result<u64, StoreError> {
    let row = pool
        .get()
        .await?
        .query_one(
            "SELECT count(*) FROM conversions
             WHERE created_at < least($1::timestamptz, $2::timestamptz)
               AND ($3::timestamptz IS NULL OR created_at >= $3)
               AND ($4::uuid IS NULL OR partner_id = $4) AND ($5::uuid IS NULL OR advertiser_id = $5)
               AND ($6::uuid IS NULL OR offer_id = $6) AND ($7::uuid IS NULL OR link_id = $7)
               AND ($8 OR NOT is_test)",
            &[
                &past.to,
                &history_from,
                &past.from,
                &listener.partner_id,
                &listener.advertiser_id,
                &listener.offer_id,
                &listener.link_id,
                &past.include_tests,
            ],
        )
        .await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// A change of the past, with all its events.
#[derive(Debug)]
pub struct PastChange {
    pub change_id: ChangeId,
    pub events: Vec<Event>,
    pub facts: EventFacts,
}

/// Up to `limit` changes past `after` that may be for the listener, in the order of their ids.
pub async fn changes(
    pool: &Pool,
    listener: &Listener,
    past: &PastSelection,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<PastChange>, StoreError> {
    let mut values = Values::of(listener, past);
    if let Some(after) = after {
        values.from = values.from.max(Uuid::from_u128(after.as_u128().saturating_add(1)));
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut parameters = values.parameters();
    parameters.push(&limit);
    let statement = format!(
        "SELECT change_id, events, facts FROM conversion_history WHERE {FOR_LISTENER} ORDER BY change_id LIMIT $9"
    );
    let rows = pool.get().await?.query(&statement, &parameters).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<PastChange, StoreError> {
    let codes: Vec<String> = row.get("events");
    Ok(PastChange {
        change_id: ChangeId(row.get("change_id")),
        events: codes.into_iter().map(event).collect::<Result<_, _>>()?,
        facts: serde_json::from_value(row.get("facts"))
            .map_err(|error| StoreError::Unreadable(format!("conversion_history.facts: {error}")))?,
    })
}

fn event(code: String) -> Result<Event, StoreError> {
    Event::from_code(&code)
        .ok_or_else(|| StoreError::Unreadable(format!("conversion_history.events: {code}")))
}

/// Adds those of the deliveries that are neither in the queue nor finished, inside the caller's
/// transaction, and returns them.
pub async fn insert_missing(
    client: &impl GenericClient,
    job_id: Uuid,
    now: DateTime<Utc>,
    wishes: &[NewDelivery],
) -> Result<HashSet<DeliveryId>, StoreError> {
    if wishes.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = wishes.iter().map(|wish| wish.delivery_id.0).collect();
    let postbacks: Vec<Uuid> = wishes.iter().map(|wish| wish.postback_id.0).collect();
    let changes: Vec<Uuid> = wishes.iter().map(|wish| wish.change_id.0).collect();
    let events: Vec<&str> = wishes.iter().map(|wish| wish.event.code()).collect();
    let leads: Vec<Option<Uuid>> = wishes.iter().map(|wish| wish.lead_id.map(|id| id.0)).collect();
    let statement = client.prepare_cached(include_str!("queries/insert_late.sql")).await?;
    let rows =
        client.query(&statement, &[&ids, &postbacks, &changes, &events, &leads, &now, &job_id]).await?;
    Ok(rows.iter().map(|row| DeliveryId(row.get(0))).collect())
}
