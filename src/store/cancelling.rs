//! Cancelling deliveries that wait: they are finished, and the log says so once.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Pool};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::audit::{self, Actor, Entity};
use super::deliveries::{self, ClaimedDelivery};
use super::error::StoreError;
use super::log_batches;
use super::resend::scope_columns;
use super::session::Session;
use crate::domain::event::Event;
use crate::domain::ids::NodeId;
use crate::event_log::rows::encode;
use crate::graphql::scope::Scope;
use crate::outbound::attempt;

/// Which waiting deliveries; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct WaitingFilter {
    pub delivery_ids: Vec<Uuid>,
    pub postback_ids: Vec<Uuid>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub events: Vec<Event>,
    pub lead_id: Option<Uuid>,
    pub job_id: Option<Uuid>,
    /// Inclusive, by the time the delivery was made.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cancelled {
    pub cancelled: u64,
    /// Under way right now: what becomes of them is not known yet.
    pub being_sent: u64,
}

/// Cancelled in one transaction.
const BATCH: i64 = 500;

/// Cancels everything that waits and matches, batch by batch; what is made meanwhile is left.
pub async fn cancel(
    pool: &Pool,
    node: NodeId,
    actor: Actor,
    scope: Scope,
    filter: &WaitingFilter,
    now: DateTime<Utc>,
) -> Result<Cancelled, StoreError> {
    let mut total = Cancelled::default();
    let mut after = Uuid::nil();
    loop {
        let Some(last) = cancel_batch(pool, node, actor, scope, filter, now, after, &mut total).await? else {
            return Ok(total);
        };
        after = last;
    }
}

/// How many [`cancel`] would cancel, and how many are under way.
pub async fn preview(
    pool: &Pool,
    scope: Scope,
    filter: &WaitingFilter,
    now: DateTime<Utc>,
) -> Result<Cancelled, StoreError> {
    let client = pool.get().await?;
    let statement = format!(
        "SELECT count(*) FILTER (WHERE claimed_by IS NULL), count(*) FILTER (WHERE claimed_by IS NOT NULL)
         FROM deliveries WHERE {MATCHES}"
    );
    let values = Values::of(scope, filter, now);
    let row = client.query_one(&statement, &values.parameters(&Uuid::nil())).await?;
    let count = |index| row.get::<_, i64>(index).unsigned_abs();
    Ok(Cancelled { cancelled: count(0), being_sent: count(1) })
}

const MATCHES: &str = "deliveries.delivery_id > $1 AND deliveries.created_at < $2
    AND (cardinality($3::uuid[]) = 0 OR deliveries.delivery_id = ANY($3))
    AND (cardinality($4::uuid[]) = 0 OR deliveries.postback_id = ANY($4))
    AND (cardinality($5::text[]) = 0 OR deliveries.event = ANY($5))
    AND ($6::uuid IS NULL OR deliveries.lead_id = $6)
    AND ($7::uuid IS NULL OR deliveries.job_id = $7)
    AND ($8::timestamptz IS NULL OR deliveries.created_at >= $8)
    AND (($9::uuid IS NULL AND $10::uuid IS NULL)
         OR deliveries.postback_id IN (SELECT postback_id FROM postbacks
                                       WHERE advertiser_id = $9 OR partner_id = $10))
    AND ((cardinality($11::text[]) = 0 AND cardinality($12::text[]) = 0)
         OR EXISTS (SELECT FROM conversion_history AS history
                    WHERE history.change_id = deliveries.change_id
                      AND (cardinality($11) = 0 OR history.facts ->> 'offer_id' = ANY($11))
                      AND (cardinality($12) = 0 OR history.facts ->> 'partner_id' = ANY($12))))";

/// The values that stand in [`MATCHES`] from `$2` on.
struct Values<'a> {
    to: DateTime<Utc>,
    filter: &'a WaitingFilter,
    events: Vec<&'static str>,
    advertiser: Option<Uuid>,
    partner: Option<Uuid>,
    offers: Vec<String>,
    partners: Vec<String>,
}

impl<'a> Values<'a> {
    fn of(scope: Scope, filter: &'a WaitingFilter, now: DateTime<Utc>) -> Self {
        let (advertiser, partner) = scope_columns(scope);
        let texts = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect();
        Self {
            to: filter.to.map_or(now, |to| to.min(now)),
            filter,
            events: filter.events.iter().map(|event| event.code()).collect(),
            advertiser,
            partner,
            offers: texts(&filter.offer_ids),
            partners: texts(&filter.partner_ids),
        }
    }

    fn parameters<'b>(&'b self, after: &'b Uuid) -> Vec<&'b (dyn tokio_postgres::types::ToSql + Sync)> {
        let filter = self.filter;
        vec![
            after,
            &self.to,
            &filter.delivery_ids,
            &filter.postback_ids,
            &self.events,
            &filter.lead_id,
            &filter.job_id,
            &filter.from,
            &self.advertiser,
            &self.partner,
            &self.offers,
            &self.partners,
        ]
    }
}

/// One transaction: the rows leave the queue together with their log rows and the audit entry.
/// Returns the last id it looked at; `None` when there was none.
#[expect(clippy::too_many_arguments, reason = "one step of `cancel`, with all it was given")]
async fn cancel_batch(
    pool: &Pool,
    node: NodeId,
    actor: Actor,
    scope: Scope,
    filter: &WaitingFilter,
    now: DateTime<Utc>,
    after: Uuid,
    total: &mut Cancelled,
) -> Result<Option<Uuid>, StoreError> {
    let session = Session::checkout(pool).await?;
    let insert_log = log_batches::prepare_insert(&session).await?;
    session.batch_execute("BEGIN").await?;
    let values = Values::of(scope, filter, now);
    let mut parameters = values.parameters(&after);
    let chosen = format!("SELECT delivery_id FROM deliveries WHERE {MATCHES} ORDER BY delivery_id LIMIT $13");
    parameters.push(&BATCH);
    let rows = session.query(&chosen, &parameters).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let Some(&last) = ids.last() else {
        session.batch_execute("ROLLBACK").await?;
        session.give_back();
        return Ok(None);
    };
    let reason = format!("cancelled by {actor}");
    let rows = session.query(include_str!("queries/cancel_deliveries.sql"), &[&ids, &reason, &now]).await?;
    let cancelled: Vec<(&'static str, ClaimedDelivery)> = rows.iter().map(read).collect::<Result<_, _>>()?;
    let log_rows =
        cancelled.iter().map(|(owner, delivery)| attempt::cancelled(owner, delivery, node, reason.clone()));
    log_batches::insert(&session, &insert_log, encode(log_rows).as_slice()).await?;
    if !cancelled.is_empty() {
        let ids: Vec<String> = cancelled.iter().map(|(_, one)| one.delivery_id.to_string()).collect();
        let entity_id = if let [only] = ids.as_slice() { only.clone() } else { String::new() };
        let after = Some(json!({ "delivery_ids": ids }));
        audit::record_values(session.client(), actor, Entity::Delivery, &entity_id, "cancel", None, after)
            .await?;
    }
    let still_there = count_hot(session.client(), &ids).await?;
    session.commit().await?;
    session.give_back();
    total.cancelled += cancelled.len() as u64;
    total.being_sent += still_there;
    Ok(Some(last))
}

/// Of what was chosen, what somebody has in hand.
async fn count_hot(client: &impl GenericClient, ids: &[Uuid]) -> Result<u64, StoreError> {
    let row =
        client.query_one("SELECT count(*) FROM deliveries WHERE delivery_id = ANY($1)", &[&ids]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

fn read(row: &Row) -> Result<(&'static str, ClaimedDelivery), StoreError> {
    let owner = match (row.get::<_, bool>("is_partners"), row.get::<_, bool>("is_advertisers")) {
        (true, _) => "partner",
        (false, true) => "advertiser",
        (false, false) => "platform",
    };
    Ok((owner, deliveries::read(row)?))
}
