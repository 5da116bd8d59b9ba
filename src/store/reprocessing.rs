//! Requests of the inbound log that somebody wants to have processed again.
//!
//! What is asked for is read from ClickHouse at once and waits here whole, so that neither a
//! dead node nor ClickHouse's absence loses it; the
//! [`QuarantineReleaser`](crate::pipeline::quarantine_releaser) takes it from here.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::ids::{AdvertiserId, InboundId, IntegrationId, OfferId};
use crate::event_log::EventLog;
use crate::event_log::reader::{self, StoredRequest};
use crate::graphql::scope::Scope;

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
    #[error("inbound_id: the inbound log has no such request")]
    NotFound,
    #[error("inbound_id: nobody knows whose request this was, as its key was nobody's")]
    NobodysRequest,
    #[error("inbound_id: this row tells of a release; process the request it tells of instead ({0})")]
    AlreadyARepeat(Uuid),
    #[error("the log cannot be read now; try again: {0}")]
    Log(#[from] clickhouse::error::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Has a request of the inbound log processed again, whatever became of it: an unknown click may
/// have arrived, a word may have been mapped. It is judged as of its own time by the rules of
/// today; the outcome is a new row of the inbound log (door `reprocess`), whose `origin_id` is
/// this request. Asking twice before it was done asks once.
pub async fn ask(
    log: &EventLog,
    pool: &Pool,
    scope: Scope,
    inbound_id: InboundId,
) -> Result<(), ReprocessError> {
    let request = reader::stored_request(log, scope, inbound_id.0).await?.ok_or(ReprocessError::NotFound)?;
    if let (true, Some(origin)) =
        (matches!(request.door.as_str(), "quarantine" | "reprocess"), request.origin_id)
    {
        return Err(ReprocessError::AlreadyARepeat(origin));
    }
    let advertiser_id = request.advertiser_id.ok_or(ReprocessError::NobodysRequest)?;
    insert(pool, advertiser_id, &request).await?;
    Ok(())
}

async fn insert(pool: &Pool, advertiser_id: Uuid, request: &StoredRequest) -> Result<(), StoreError> {
    let parameters: serde_json::Value = serde_json::from_str(&request.parameters)
        .map_err(|error| StoreError::Unreadable(format!("inbound_requests.parameters: {error}")))?;
    let client = pool.get().await?;
    client
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
    Ok(())
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
