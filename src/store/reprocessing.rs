//! Requests of the inbound log that somebody wants to have processed again.
//!
//! What is asked for is read from ClickHouse at once and waits here whole, so that neither a
//! dead node nor ClickHouse's absence loses it; the
//! [`QuarantineReleaser`](crate::pipeline::quarantine_releaser) takes it from here.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Pool};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::audit::{self, Actor, AuditedChange, Entity};
use super::error::StoreError;
use crate::domain::ids::{AdvertiserId, InboundId, IntegrationId, OfferId};
use crate::event_log::EventLog;
use crate::event_log::reader::{self, StoredRequest};
use crate::graphql::scope::Scope;

/// Most requests that are looked up in the log at once.
pub const MOST_REQUESTS: usize = 100;

/// A request that waits to be processed again.
#[derive(Debug, Clone)]
pub struct WaitingRequest {
    pub inbound_id: InboundId,
    pub advertiser_id: AdvertiserId,
    pub integration_id: Option<IntegrationId>,
    pub offer_id: Option<OfferId>,
    /// The door it came in by the first time.
    pub door: String,
    pub method: String,
    pub source_ip: String,
    pub parameters: Vec<(String, String)>,
    pub received_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReprocessError {
    #[error("the inbound log has no request {0}; take an inboundId of inboundLog")]
    NotFound(Uuid),
    #[error("nobody knows whose request {0} was, as its key was nobody's; leave it out")]
    NobodysRequest(Uuid),
    #[error("{0} tells of a release; process the request it tells of instead: {1}")]
    AlreadyARepeat(Uuid, Uuid),
    #[error("the log cannot be read now; try again: {0}")]
    Log(#[from] clickhouse::error::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for ReprocessError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Has requests of the inbound log processed again, whatever became of them: an unknown click may
/// have arrived, a word may have been mapped. They are judged as of their own times by the rules
/// of today; the outcome is a new row of the inbound log each (door `reprocess`), whose
/// `origin_id` is the request. Asking twice before it was done asks once. Where one of them
/// cannot be, none is. Each that is new is entered in the audit log; returns how many those are.
pub async fn ask(
    log: &EventLog,
    pool: &Pool,
    scope: Scope,
    inbound_ids: &[InboundId],
    actor: Actor,
) -> Result<usize, ReprocessError> {
    let mut requests = Vec::new();
    for id in inbound_ids {
        requests.push(request_of(log, scope, id.0).await?);
    }
    let mut client = pool.get().await.map_err(StoreError::from)?;
    let transaction = client.transaction().await?;
    let insert_audit = audit::prepare_insert(&transaction).await?;
    let mut audited = Vec::new();
    for (advertiser_id, request) in &requests {
        if insert(&transaction, *advertiser_id, request).await? {
            audited.push(AuditedChange {
                actor,
                entity: Entity::InboundRequest,
                id: request.inbound_id.to_string(),
                action: "reprocess",
                before: None,
                after: Some(json!({ "advertiser_id": advertiser_id, "door": request.door })),
            });
        }
    }
    audit::insert(&transaction, &insert_audit, &audited).await?;
    transaction.commit().await?;
    Ok(audited.len())
}

/// The request with whose it is.
async fn request_of(
    log: &EventLog,
    scope: Scope,
    inbound_id: Uuid,
) -> Result<(Uuid, StoredRequest), ReprocessError> {
    let request = reader::stored_request(log, scope, inbound_id).await?;
    let request = request.ok_or(ReprocessError::NotFound(inbound_id))?;
    if let (true, Some(origin)) =
        (matches!(request.door.as_str(), "quarantine" | "reprocess"), request.origin_id)
    {
        return Err(ReprocessError::AlreadyARepeat(inbound_id, origin));
    }
    let advertiser_id = request.advertiser_id.ok_or(ReprocessError::NobodysRequest(inbound_id))?;
    Ok((advertiser_id, request))
}

/// Whether it did not wait yet.
async fn insert(
    client: &impl GenericClient,
    advertiser_id: Uuid,
    request: &StoredRequest,
) -> Result<bool, StoreError> {
    let parameters: serde_json::Value = serde_json::from_str(&request.parameters)
        .map_err(|error| StoreError::Unreadable(format!("inbound_requests.parameters: {error}")))?;
    let inserted = client
        .execute(
            "INSERT INTO reprocessing (inbound_id, advertiser_id, integration_id, offer_id, door, method, source_ip,
                                       parameters, received_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (inbound_id) DO NOTHING",
            &[
                &request.inbound_id,
                &advertiser_id,
                &request.integration_id,
                &request.offer_id,
                &request.door,
                &request.method,
                &request.source_ip,
                &parameters,
                &request.received_at,
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// Up to `limit` requests, in the order in which they came the first time.
pub async fn waiting(pool: &Pool, limit: i64) -> Result<Vec<WaitingRequest>, StoreError> {
    let client = pool.get().await?;
    let statement =
        client.prepare_cached("SELECT * FROM reprocessing ORDER BY received_at, inbound_id LIMIT $1").await?;
    client.query(&statement, &[&limit]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<WaitingRequest, StoreError> {
    Ok(WaitingRequest {
        inbound_id: InboundId(row.get("inbound_id")),
        advertiser_id: AdvertiserId(row.get("advertiser_id")),
        integration_id: row.get::<_, Option<Uuid>>("integration_id").map(IntegrationId),
        offer_id: row.get::<_, Option<Uuid>>("offer_id").map(OfferId),
        door: row.get("door"),
        method: row.get("method"),
        source_ip: row.get("source_ip"),
        parameters: serde_json::from_value(row.get("parameters"))
            .map_err(|error| StoreError::Unreadable(format!("reprocessing.parameters: {error}")))?,
        received_at: row.get("received_at"),
    })
}
