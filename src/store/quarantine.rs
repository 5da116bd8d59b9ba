//! Requests whose status word nobody had mapped: listed, released, discarded.
//!
//! Releasing marks a row; the [`QuarantineReleaser`](crate::pipeline::quarantine_releaser)
//! processes what is marked or whose word is known by now, and the row goes in the transaction
//! that records what came of it.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Pool};
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::audit::{self, Actor, AuditedChange, Entity};
use super::error::StoreError;
use super::log_batches;
use super::session::Session;
use crate::domain::fields::ConversionRequest;
use crate::domain::ids::{AdvertiserId, ClickId, InboundId, IntegrationId, NodeId, OfferId};
use crate::domain::status::Meaning;
use crate::event_log::rows::{InboundRow, encode};
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

/// Most requests that are released or discarded at once.
pub const MOST_REQUESTS: usize = 1_000;

/// Which requests; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    pub advertiser_ids: Vec<Uuid>,
    pub offer_ids: Vec<Uuid>,
    pub integration_ids: Vec<Uuid>,
    pub word: Option<String>,
}

/// A request in quarantine.
#[derive(Debug, Clone)]
pub struct QuarantineItem {
    pub inbound_id: InboundId,
    pub advertiser_id: AdvertiserId,
    pub offer_id: Option<OfferId>,
    pub integration_id: Option<IntegrationId>,
    pub click_id: Option<ClickId>,
    /// In lower case, without surrounding blanks.
    pub word: String,
    pub request: ConversionRequest,
    /// As they came, secrets redacted.
    pub parameters: Vec<(String, String)>,
    pub source_ip: String,
    pub received_at: DateTime<Utc>,
    /// The request's own time: its `datetime`, or when it came.
    pub occurred_at: DateTime<Utc>,
    /// What somebody said its word means, for this request alone; it is processed within seconds.
    pub decided_meaning: Option<Meaning>,
}

impl QuarantineItem {
    /// What the audit log keeps of it.
    pub(super) fn audited(&self) -> serde_json::Value {
        json!({
            "advertiser_id": self.advertiser_id.to_string(),
            "request_id": self.request.request_id,
            "word": self.word,
            "decided_meaning": self.decided_meaning.map(Meaning::code),
        })
    }
}

/// Why requests were neither released nor discarded.
#[derive(Debug, thiserror::Error)]
pub enum NotWaiting {
    /// The first of them.
    #[error("no request {0} is in quarantine; it may have been processed: list the quarantine again")]
    NotFound(Uuid),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotWaiting {
    fn of(wanted: &[InboundId], found: &[InboundId]) -> Self {
        let missing = wanted.iter().find(|id| !found.contains(id));
        Self::NotFound(missing.map_or(Uuid::nil(), |id| id.0))
    }
}

impl From<tokio_postgres::Error> for NotWaiting {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Positioned for QuarantineItem {
    fn position(&self) -> Position {
        Position { time: self.received_at, id: self.inbound_id.0 }
    }
}

/// `None` for a partner, for whom there is no quarantine.
fn advertiser_in(scope: Scope) -> Option<Option<Uuid>> {
    match scope {
        Scope::Everything => Some(None),
        Scope::Advertiser(id) => Some(Some(id.0)),
        Scope::Partner(_) => None,
    }
}

const FILTERED: &str = "($1::uuid IS NULL OR advertiser_id = $1)
    AND (cardinality($2::uuid[]) = 0 OR advertiser_id = ANY($2))
    AND (cardinality($3::uuid[]) = 0 OR offer_id = ANY($3))
    AND (cardinality($4::uuid[]) = 0 OR integration_id = ANY($4))
    AND ($5::text IS NULL OR word = $5)";

/// Requests in scope, newest first.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    filter: &QuarantineFilter,
    request: &PageRequest,
) -> Result<Page<QuarantineItem>, StoreError> {
    let Some(advertiser) = advertiser_in(scope) else {
        return Ok(Page::empty());
    };
    let word = filter.word.as_deref().map(crate::domain::status_words::normalized);
    let client = pool.get().await?;
    let total = match request.with_total {
        true => {
            let statement = format!("SELECT count(*) FROM quarantine WHERE {FILTERED}");
            let row = client
                .query_one(
                    &statement,
                    &[&advertiser, &filter.advertiser_ids, &filter.offer_ids, &filter.integration_ids, &word],
                )
                .await?;
            Some(row.get::<_, i64>(0).unsigned_abs())
        }
        false => None,
    };
    let (after_time, after_id) = request.after.map(|after| (after.time, after.id)).unzip();
    let rows = client
        .query(
            &format!(
                "SELECT * FROM quarantine WHERE {FILTERED}
                   AND ($6::timestamptz IS NULL OR (received_at, inbound_id) < ($6, $7::uuid))
                 ORDER BY received_at DESC, inbound_id DESC LIMIT $8"
            ),
            &[
                &advertiser,
                &filter.advertiser_ids,
                &filter.offer_ids,
                &filter.integration_ids,
                &word,
                &after_time,
                &after_id,
                &i64::try_from(request.rows + 1).unwrap_or(i64::MAX),
            ],
        )
        .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::of_surplus(items, request, total))
}

/// A word with requests waiting for it.
#[derive(Debug, Clone, Serialize)]
pub struct WaitingWord {
    pub advertiser_id: AdvertiserId,
    pub offer_id: Option<OfferId>,
    pub integration_id: Option<IntegrationId>,
    pub word: String,
    pub requests: u64,
    pub oldest: DateTime<Utc>,
}

/// The words requests wait for, the most frequent first; at most 1,000.
pub async fn words(client: &impl GenericClient, scope: Scope) -> Result<Vec<WaitingWord>, StoreError> {
    let Some(advertiser) = advertiser_in(scope) else {
        return Ok(Vec::new());
    };
    let rows = client
        .query(
            "SELECT advertiser_id, offer_id, integration_id, word, count(*) AS requests, min(received_at) AS oldest
             FROM quarantine WHERE $1::uuid IS NULL OR advertiser_id = $1
             GROUP BY advertiser_id, offer_id, integration_id, word
             ORDER BY requests DESC, word LIMIT 1000",
            &[&advertiser],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| WaitingWord {
            advertiser_id: AdvertiserId(row.get("advertiser_id")),
            offer_id: row.get::<_, Option<Uuid>>("offer_id").map(OfferId),
            integration_id: row.get::<_, Option<Uuid>>("integration_id").map(IntegrationId),
            word: row.get("word"),
            requests: row.get::<_, i64>("requests").unsigned_abs(),
            oldest: row.get("oldest"),
        })
        .collect())
}

/// Says what the word of these requests means, for them alone, with an entry in the audit log for
/// each. They are processed within seconds, in the order of their own times. Returns how many
/// there are; where one of them is not there, none is touched.
pub async fn release(
    pool: &Pool,
    scope: Scope,
    inbound_ids: &[InboundId],
    meaning: Meaning,
    actor: Actor,
) -> Result<usize, NotWaiting> {
    let Some(advertiser) = advertiser_in(scope) else {
        return Err(NotWaiting::of(inbound_ids, &[]));
    };
    let ids: Vec<Uuid> = inbound_ids.iter().map(|id| id.0).collect();
    let mut client = pool.get().await.map_err(StoreError::from)?;
    let transaction = client.transaction().await?;
    // In the order in which the pipeline locks them, so that neither waits for the other.
    let rows = transaction
        .query(
            "SELECT * FROM quarantine WHERE inbound_id = ANY($2) AND ($1::uuid IS NULL OR advertiser_id = $1)
             ORDER BY inbound_id FOR UPDATE",
            &[&advertiser, &ids],
        )
        .await?;
    let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let found: Vec<InboundId> = items.iter().map(|item| item.inbound_id).collect();
    if inbound_ids.iter().any(|id| !found.contains(id)) {
        return Err(NotWaiting::of(inbound_ids, &found));
    }
    transaction
        .execute(
            "UPDATE quarantine SET decided_meaning = $2 WHERE inbound_id = ANY($1)",
            &[&ids, &meaning.code()],
        )
        .await?;
    let audited: Vec<_> = items
        .iter()
        .map(|item| AuditedChange {
            actor,
            entity: Entity::Quarantine,
            id: item.inbound_id.to_string(),
            action: "release",
            before: Some(item.audited()),
            after: Some(json!({ "decided_meaning": meaning.code() })),
        })
        .collect();
    let insert_audit = audit::prepare_insert(&transaction).await?;
    audit::insert(&transaction, &insert_audit, &audited).await?;
    transaction.commit().await?;
    Ok(items.len())
}

/// Who throws requests away, and why; both stand in the inbound log.
#[derive(Debug, Clone, Copy)]
pub struct Discarding<'a> {
    pub actor: Actor,
    pub reason: &'a str,
}

/// Throws requests away. Each gets a row in the inbound log (door `quarantine`, verdict
/// `rejected`, reason code `discarded`) and an entry in the audit log in the same transaction.
/// Returns how many there were; where one of them is not there, none is touched.
pub async fn discard(
    pool: &Pool,
    scope: Scope,
    inbound_ids: &[InboundId],
    discarding: Discarding<'_>,
    now: DateTime<Utc>,
) -> Result<usize, NotWaiting> {
    let Some(advertiser) = advertiser_in(scope) else {
        return Err(NotWaiting::of(inbound_ids, &[]));
    };
    let ids: Vec<Uuid> = inbound_ids.iter().map(|id| id.0).collect();
    let session = Session::checkout(pool).await?;
    let insert_log = log_batches::prepare_insert(&session).await?;
    let insert_audit = audit::prepare_insert(session.client()).await?;
    session.batch_execute("BEGIN").await?;
    let rows = session
        .query(
            "DELETE FROM quarantine
             WHERE inbound_id = ANY($2) AND ($1::uuid IS NULL OR advertiser_id = $1) RETURNING *",
            &[&advertiser, &ids],
        )
        .await?;
    let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let found: Vec<InboundId> = items.iter().map(|item| item.inbound_id).collect();
    if inbound_ids.iter().any(|id| !found.contains(id)) {
        session.batch_execute("ROLLBACK").await?;
        session.give_back();
        return Err(NotWaiting::of(inbound_ids, &found));
    }
    let log = encode(items.iter().map(|item| discarded_row(item, discarding, now)));
    if let Some(batch) = log {
        log_batches::insert(&session, &insert_log, &[batch]).await?;
    }
    let audited: Vec<_> = items.iter().map(|item| discarded_change(item, discarding)).collect();
    audit::insert(session.client(), &insert_audit, &audited).await?;
    session.commit().await?;
    session.give_back();
    Ok(items.len())
}

fn discarded_change(item: &QuarantineItem, discarding: Discarding<'_>) -> AuditedChange<'static> {
    AuditedChange {
        actor: discarding.actor,
        entity: Entity::Quarantine,
        id: item.inbound_id.to_string(),
        action: "discard",
        before: Some(item.audited()),
        after: Some(json!({ "reason": discarding.reason })),
    }
}

fn discarded_row(item: &QuarantineItem, discarding: Discarding<'_>, now: DateTime<Utc>) -> InboundRow {
    InboundRow {
        inbound_id: Uuid::now_v7(),
        received_at: now,
        door: "quarantine",
        method: String::new(),
        source_ip: item.source_ip.clone(),
        advertiser_id: Some(item.advertiser_id.0),
        offer_id: item.offer_id.map(|id| id.0),
        partner_id: None,
        request_id: item.request.request_id.clone(),
        click_id: item.request.click_ref.clone(),
        lead_id: None,
        parameters: serde_json::to_string(&item.parameters).expect("pairs of texts are JSON"),
        verdict: "rejected",
        http_status: 0,
        reason_code: "discarded",
        reason: format!("discarded by {}: {}", discarding.actor.role(), discarding.reason),
        answer: String::new(),
        is_test: item.request.is_test,
        node_id: NodeId(Uuid::nil()).0,
        integration_id: item.integration_id.map(|id| id.0),
        origin_id: Some(item.inbound_id.0),
    }
}

/// Up to `limit` requests that can be processed now, in the order of their own times: their
/// word is mapped where they came in, or somebody decided about them by hand.
pub async fn releasable(pool: &Pool, limit: i64) -> Result<Vec<QuarantineItem>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("queries/releasable.sql")).await?;
    client.query(&statement, &[&limit]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<QuarantineItem, StoreError> {
    let unreadable = |column: &str, error: serde_json::Error| {
        StoreError::Unreadable(format!("quarantine.{column}: {error}"))
    };
    Ok(QuarantineItem {
        inbound_id: InboundId(row.get("inbound_id")),
        advertiser_id: AdvertiserId(row.get("advertiser_id")),
        offer_id: row.get::<_, Option<Uuid>>("offer_id").map(OfferId),
        integration_id: row.get::<_, Option<Uuid>>("integration_id").map(IntegrationId),
        click_id: row.get::<_, Option<Uuid>>("click_id").map(ClickId),
        word: row.get("word"),
        request: serde_json::from_value(row.get("request")).map_err(|error| unreadable("request", error))?,
        parameters: serde_json::from_value(row.get("parameters"))
            .map_err(|error| unreadable("parameters", error))?,
        source_ip: row.get("source_ip"),
        received_at: row.get("received_at"),
        occurred_at: row.get("occurred_at"),
        decided_meaning: row.get::<_, Option<&str>>("decided_meaning").and_then(Meaning::from_code),
    })
}
