//! Deliveries still to be made: the hot queue.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde_json::Value;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;
use crate::domain::event::Event;
use crate::domain::facts::EventFacts;
use crate::domain::ids::{ChangeId, DeliveryId, LeadId, NodeId, PostbackId};
pub use crate::domain::lease::CLAIM_LEASE;
use crate::domain::party_names::PartyNames;
use crate::domain::postback::{Postback, Reading};
use crate::panics::caught_now;

#[derive(Debug)]
pub struct NewDelivery {
    pub delivery_id: DeliveryId,
    pub postback_id: PostbackId,
    pub change_id: ChangeId,
    pub event: Event,
    pub lead_id: Option<LeadId>,
    pub is_claimed: Claimed,
}

/// Whether a delivery is born with a claim of the node that records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    ByThisNode,
    Waiting,
    /// It waits for a node that can read its postback, and its condition with it.
    Unjudged,
}

impl Claimed {
    /// Of a delivery that nobody sends at once.
    pub fn waiting_for(postback: &Postback) -> Self {
        match postback.reading {
            Reading::Whole => Self::Waiting,
            Reading::Outline => Self::Unjudged,
        }
    }
}

/// What tells a claim from any other: whoever records an attempt must show it. All that one claim
/// of a queue takes has the same.
pub type Fence = i64;

/// The fence of a delivery that was born claimed.
pub const FIRST_FENCE: Fence = 1;

/// A fence that no other claim has: drawn at random, so that a node finds what it has claimed
/// should the answer be lost. Far above [`FIRST_FENCE`], and far below where one more is too many.
pub fn draw_fence() -> Fence {
    rand::random_range(1 << 32..1 << 62)
}

/// A delivery this node may send: attempt number `attempt` is its to make and to record.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    pub delivery_id: DeliveryId,
    pub postback_id: PostbackId,
    pub event: Event,
    pub attempt: u32,
    pub fence: Fence,
    pub due_at: DateTime<Utc>,
    pub facts: Arc<EventFacts>,
    /// Set: it is sent as this revision of its postback says, not as that of today.
    pub pinned_revision: Option<i32>,
    /// Whether its postback's condition lets it go is still to be judged.
    pub is_unjudged: bool,
}

pub async fn prepare_insert(session: &Session) -> Result<Statement, tokio_postgres::Error> {
    session
        .prepare_cached(
            "INSERT INTO deliveries (delivery_id, postback_id, change_id, event, lead_id, attempt, next_attempt_at,
                                     claimed_by, lease_until, fence, created_at, is_unjudged)
             SELECT delivery_id, postback_id, change_id, event, lead_id,
                    is_claimed::int, $7::timestamptz,
                    CASE WHEN is_claimed THEN $8::uuid END,
                    CASE WHEN is_claimed THEN now() + make_interval(secs => $9) END,
                    is_claimed::int, $7::timestamptz, is_unjudged
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::boolean[], $10::boolean[])
                  AS delivery(delivery_id, postback_id, change_id, event, lead_id, is_claimed, is_unjudged)",
        )
        .await
}

/// So many rows are added at a time where there are more: a thousand at once would keep a processor from
/// whoever waits for a short statement.
const PIECE: usize = 128;

/// Adds all but the last piece of `deliveries` inside the caller's transaction, piece by piece, and gives
/// that back. Whoever commits must have waited for this.
pub async fn insert_ahead<'a>(
    session: &Session,
    statement: &Statement,
    node: NodeId,
    now: DateTime<Utc>,
    deliveries: &'a [NewDelivery],
) -> Result<&'a [NewDelivery], StoreError> {
    let mut rest = deliveries;
    while let Some((piece, after)) = rest.split_at_checked(PIECE).filter(|(_, after)| !after.is_empty()) {
        insert(session, statement, node, now, piece).await?;
        rest = after;
    }
    Ok(rest)
}

/// Adds deliveries inside the caller's transaction.
pub async fn insert(
    session: &Session,
    statement: &Statement,
    node: NodeId,
    now: DateTime<Utc>,
    deliveries: &[NewDelivery],
) -> Result<(), StoreError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.delivery_id.0).collect();
    let postbacks: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.postback_id.0).collect();
    let changes: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.change_id.0).collect();
    let events: Vec<&str> = deliveries.iter().map(|delivery| delivery.event.code()).collect();
    let leads: Vec<Option<Uuid>> =
        deliveries.iter().map(|delivery| delivery.lead_id.map(|id| id.0)).collect();
    let are =
        |claimed| -> Vec<bool> { deliveries.iter().map(|delivery| delivery.is_claimed == claimed).collect() };
    let (claimed, unjudged) = (are(Claimed::ByThisNode), are(Claimed::Unjudged));
    session
        .execute(
            statement,
            &[
                &ids,
                &postbacks,
                &changes,
                &events,
                &leads,
                &claimed,
                &now,
                &node.0,
                &CLAIM_LEASE.as_secs_f64(),
                &unjudged,
            ],
        )
        .await?;
    Ok(())
}

/// A place in a postback's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePosition {
    pub due_at: DateTime<Utc>,
    pub delivery_id: DeliveryId,
}

impl QueuePosition {
    /// Before all that is due at `due_at`, and behind all that is due earlier.
    pub fn before(due_at: DateTime<Utc>) -> Self {
        Self { due_at, delivery_id: DeliveryId(Uuid::nil()) }
    }
}

impl ClaimedDelivery {
    pub fn position(&self) -> QueuePosition {
        QueuePosition { due_at: self.due_at, delivery_id: self.delivery_id }
    }
}

/// What can be read of `rows`, and the deliveries that cannot, of which it tells loudly.
pub(super) fn read_each<T>(
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> (Vec<T>, Vec<Uuid>) {
    let (mut readable, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        // A panic over one row, too, is about that row alone.
        let read = caught_now(|| read(row)).unwrap_or_else(|panicked| Err(panicked.into()));
        match read {
            Ok(one) => readable.push(one),
            Err(error) => {
                let delivery: Uuid = row.get("delivery_id");
                tracing::error!(%error, %delivery, "a delivery cannot be read by this node and is set aside");
                metrics::counter!("ricochet_unreadable_rows_total", "table" => "deliveries").increment(1);
                unreadable.push(delivery);
            }
        }
    }
    (readable, unreadable)
}

/// A claim whose holder is gone; see [`super::claims`].
#[derive(Debug)]
pub struct Abandoned {
    pub delivery: ClaimedDelivery,
    pub claimed_at: DateTime<Utc>,
    pub facts: Facts,
    /// What its parties were called when it was first sent, as far as that is known.
    pub sent_names: PartyNames,
}

/// Whether the facts of a delivery are what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facts {
    Whole,
    /// As far as this node can read them: enough for a log row, but not to render a request with.
    Partial,
}

/// Those that can be read, with their facts as far as these can be. One of an event that this node does
/// not know is taken back as well, and whoever knows it claims it; that it was begun before is told by
/// the number of its attempt only, for no log row of this node's version may name that event.
pub(super) fn read_abandoned(rows: &[Row]) -> Vec<Abandoned> {
    let claimed_at = |row: &Row| row.get::<_, DateTime<Utc>>("lease_until") - CLAIM_LEASE;
    let sent_names = |row: &Row| {
        let written: Option<Value> = row.try_get("sent_names").ok().flatten();
        written.and_then(|names| serde_json::from_value(names).ok()).unwrap_or_default()
    };
    let whole = |row: &Row| {
        let (claimed_at, sent_names) = (claimed_at(row), sent_names(row));
        Ok(Abandoned { delivery: read(row)?, claimed_at, facts: Facts::Whole, sent_names })
    };
    let (mut readable, unreadable) = read_each(rows, whole);
    let rest = rows.iter().filter(|row| unreadable.contains(&row.get("delivery_id")));
    readable.extend(rest.filter_map(|row| {
        let read = caught_now(|| {
            let event = event_of(row).ok()?;
            let written = row.try_get::<_, Option<Value>>("facts").ok().flatten().unwrap_or_default();
            let (change, lead) = (ChangeId(row.get("change_id")), row.get::<_, Option<Uuid>>("lead_id"));
            let claimed_at = claimed_at(row);
            let facts = EventFacts::as_far_as_readable(&written, change, lead.map(LeadId), claimed_at);
            let delivery = delivery_of(row, event, facts);
            Some(Abandoned { delivery, claimed_at, facts: Facts::Partial, sent_names: sent_names(row) })
        });
        read.ok().flatten()
    }));
    readable
}

pub(super) fn read(row: &Row) -> Result<ClaimedDelivery, StoreError> {
    let unreadable = |column: &str, why: String| StoreError::Unreadable(format!("{column}: {why}"));
    let event = event_of(row)?;
    // NULL where the history has lost the change.
    let facts: Option<Value> =
        row.try_get("facts").map_err(|error| unreadable("conversion_history.facts", error.to_string()))?;
    let facts: EventFacts = serde_json::from_value(facts.unwrap_or_default())
        .map_err(|error| unreadable("conversion_history.facts", error.to_string()))?;
    Ok(delivery_of(row, event, facts))
}

fn event_of(row: &Row) -> Result<Event, StoreError> {
    let code: String = row.get("event");
    Event::from_code(&code).ok_or_else(|| StoreError::Unreadable(format!("deliveries.event: {code}")))
}

fn delivery_of(row: &Row, event: Event, facts: EventFacts) -> ClaimedDelivery {
    ClaimedDelivery {
        delivery_id: DeliveryId(row.get("delivery_id")),
        postback_id: PostbackId(row.get("postback_id")),
        event,
        attempt: u32::try_from(row.get::<_, i32>("attempt")).unwrap_or(1),
        fence: row.get("fence"),
        due_at: row.get("next_attempt_at"),
        facts: Arc::new(facts),
        pinned_revision: row.get("pinned_revision"),
        is_unjudged: row.get("is_unjudged"),
    }
}

/// Which postbacks are looked at for something due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only those whose queue is read on from a position.
    Known,
    All,
}

/// The postbacks that have something due; of the `known` ones, past their position. The cost
/// grows with destinations, not with their backlogs.
pub async fn due_postbacks(
    pool: &Pool,
    look: Look,
    known: &mut [(PostbackId, QueuePosition)],
) -> Result<Vec<PostbackId>, StoreError> {
    known.sort_by_key(|(postback, _)| *postback);
    let postbacks: Vec<Uuid> = known.iter().map(|(postback, _)| postback.0).collect();
    let times: Vec<DateTime<Utc>> = known.iter().map(|(_, position)| position.due_at).collect();
    let deliveries: Vec<Uuid> = known.iter().map(|(_, position)| position.delivery_id.0).collect();
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("queries/due_postbacks.sql")).await?;
    let rows = client.query(&statement, &[&postbacks, &times, &deliveries, &(look == Look::All)]).await?;
    Ok(rows.iter().map(|row| PostbackId(row.get(0))).collect())
}

/// When the first that waits of each queue is due; nothing of a queue where nothing waits. Reads each
/// from its beginning, which takes as long as there is much before the first.
pub async fn earliest(
    pool: &Pool,
    postbacks: &[PostbackId],
) -> Result<HashMap<PostbackId, DateTime<Utc>>, StoreError> {
    let session = Session::checkout(pool).await?;
    let statement = session.prepare_cached(include_str!("queries/earliest_deliveries.sql")).await?;
    let ids: Vec<Uuid> = postbacks.iter().map(|postback| postback.0).collect();
    // Where it is given up, what is found by this is never found.
    session.batch_execute("BEGIN; SET LOCAL statement_timeout = '10min'").await?;
    let rows = session.query(&statement, &[&ids]).await?;
    session.commit().await?;
    session.give_back();
    Ok(rows.iter().map(|row| (PostbackId(row.get(0)), row.get(1))).collect())
}

/// How much is still to be done, and since when it could have been.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueDepth {
    pub deliveries: i64,
    pub oldest_due: Option<DateTime<Utc>>,
}

pub async fn depth(pool: &Pool) -> Result<QueueDepth, StoreError> {
    let row = pool
        .get()
        .await?
        .query_one(
            "SELECT count(*), min(next_attempt_at) FILTER (WHERE next_attempt_at <= now()) FROM deliveries",
            &[],
        )
        .await?;
    Ok(QueueDepth { deliveries: row.get(0), oldest_due: row.get(1) })
}

/// Gives back deliveries that were written with a claim, and says how many of them there are.
pub async fn release_born(pool: &Pool, node: NodeId, born: &[DeliveryId]) -> Result<u64, StoreError> {
    let unsent: Vec<_> = born.iter().map(|id| (*id, FIRST_FENCE)).collect();
    release(pool, node, &unsent).await
}

/// Gives back the claims of attempts that were never begun, and says how many still were claimed.
pub async fn release(pool: &Pool, node: NodeId, unsent: &[(DeliveryId, Fence)]) -> Result<u64, StoreError> {
    let (ids, fences): (Vec<Uuid>, Vec<Fence>) = unsent.iter().map(|(id, fence)| (id.0, *fence)).unzip();
    let released = pool
        .get()
        .await?
        .execute(
            "UPDATE deliveries SET claimed_by = NULL, lease_until = NULL, attempt = attempt - 1
             FROM unnest($1::uuid[], $2::bigint[]) AS unsent(delivery_id, fence)
             -- By their keys: see finish_deliveries.sql.
             WHERE deliveries.delivery_id = ANY($1)
               AND deliveries.delivery_id = unsent.delivery_id AND deliveries.fence = unsent.fence
               AND claimed_by = $3",
            &[&ids, &fences, &node.0],
        )
        .await?;
    Ok(released)
}
