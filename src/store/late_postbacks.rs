//! The past of a postback: conversions recorded before it was there to hear of them.

mod counting;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use deadpool_postgres::{GenericClient, Pool};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub use counting::{Count, Judging, MOST_REASONS, PastEvents, count, count_forgotten};

use super::deliveries::{Claimed, NewDelivery};
use super::delivery_jobs::PastSelection;
use super::error::StoreError;
use super::party_names;
use super::resend::scope_columns;
use super::setup::ChangeError;
use crate::domain::condition::Condition;
use crate::domain::event::Event;
use crate::domain::facts::EventFacts;
use crate::domain::ids::{ChangeId, DeliveryId, PostbackId};
use crate::domain::party_names::PartyNames;
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
    /// Where it is global: the offers and links of which its owner's own postbacks hear instead of it.
    replaced_offers: Vec<String>,
    replaced_links: Vec<String>,
}

/// The postback, if it is in scope and not deleted.
pub async fn listener(pool: &Pool, scope: Scope, id: PostbackId) -> Result<Listener, ChangeError> {
    let (advertiser, partner) = scope_columns(scope);
    let client = pool.get().await?;
    let row = client
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
    let mut replaced_offers = Vec::new();
    let mut replaced_links = Vec::new();
    for own in client.query(REPLACING, &[&id.0]).await? {
        replaced_offers.extend(own.get::<_, Option<String>>("offer_id"));
        replaced_links.extend(own.get::<_, Option<String>>("link_id"));
    }
    Ok(Listener {
        condition,
        replaced_offers,
        replaced_links,
        postback_id: id,
        partner_id: row.get("partner_id"),
        advertiser_id: row.get("advertiser_id"),
        offer_id: row.get("offer_id"),
        link_id: row.get("link_id"),
        events: row.get("events"),
    })
}

/// What stands in for a global postback, as [`crate::domain::postback::replaces_global`] says.
const REPLACING: &str = "
    SELECT own.offer_id::text, own.link_id::text
    FROM postbacks AS asked
    JOIN postbacks AS own ON own.partner_id IS NOT DISTINCT FROM asked.partner_id
                         AND own.advertiser_id IS NOT DISTINCT FROM asked.advertiser_id
    LEFT JOIN links ON links.link_id = own.link_id
    JOIN offers ON offers.offer_id = coalesce(own.offer_id, links.offer_id) AND offers.offer_postbacks = 'replace'
    WHERE asked.postback_id = $1 AND asked.offer_id IS NULL AND asked.link_id IS NULL
      AND own.deleted_at IS NULL AND own.events <> '{}'";

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
    AND ($8 OR NOT (facts ->> 'is_test')::boolean)
    AND NOT coalesce(facts ->> 'offer_id' = ANY($9), false)
    AND NOT coalesce(facts ->> 'link_id' = ANY($10), false)";

struct Values<'a> {
    from: Uuid,
    to: Uuid,
    events: &'a [String],
    places: [Option<String>; 4],
    include_tests: bool,
    replaced: [&'a [String]; 2],
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
            replaced: [&listener.replaced_offers, &listener.replaced_links],
        }
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let [partner, advertiser, offer, link] = &self.places;
        let [offers, links] = &self.replaced;
        vec![
            &self.from,
            &self.to,
            &self.events,
            partner,
            advertiser,
            offer,
            link,
            &self.include_tests,
            offers,
            links,
        ]
    }
}

/// A change of the past, with all its events.
#[derive(Debug)]
pub struct PastChange {
    pub change_id: ChangeId,
    pub events: Vec<Event>,
    pub facts: EventFacts,
    /// What its parties are called today, where the condition may ask for it.
    pub names: PartyNames,
}

/// Up to `limit` changes past `after` that may be for the listener, in the order of their ids.
pub async fn changes(
    client: &impl GenericClient,
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
    let condition = listener.condition.as_ref();
    let names =
        if condition.is_some_and(|one| one.asks_for_names()) { party_names::OF_FACTS } else { "NULL::jsonb" };
    let statement = format!(
        "SELECT change_id, events, facts, {names} AS names FROM conversion_history
         WHERE {FOR_LISTENER} ORDER BY change_id LIMIT $11"
    );
    let rows = client.query(&statement, &parameters).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<PastChange, StoreError> {
    let codes: Vec<String> = row.get("events");
    Ok(PastChange {
        change_id: ChangeId(row.get("change_id")),
        events: codes.into_iter().map(event).collect::<Result<_, _>>()?,
        facts: serde_json::from_value(row.get("facts"))
            .map_err(|error| StoreError::Unreadable(format!("conversion_history.facts: {error}")))?,
        names: party_names::read(row)?,
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
    let unjudged: Vec<bool> = wishes.iter().map(|wish| wish.is_claimed == Claimed::Unjudged).collect();
    let statement = client.prepare_cached(include_str!("queries/insert_late.sql")).await?;
    let rows = client
        .query(&statement, &[&ids, &postbacks, &changes, &events, &leads, &now, &job_id, &unjudged])
        .await?;
    Ok(rows.iter().map(|row| DeliveryId(row.get(0))).collect())
}
