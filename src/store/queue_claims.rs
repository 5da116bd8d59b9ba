//! Claims of what is due in the queues of postbacks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deadpool_postgres::{Client, Pool};
use uuid::Uuid;

use super::deliveries::{CLAIM_LEASE, ClaimedDelivery, Fence, QueuePosition, read, read_each};
use super::error::StoreError;
use crate::domain::ids::{NodeId, PostbackId};

/// Why nothing is known to be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Nothing was asked for, or its answer cannot be read.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// Something may be claimed all the same, with the fences that were asked with: no answer came.
    #[error("{0}")]
    InDoubt(StoreError),
}

impl ClaimError {
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::InDoubt(_))
    }
}

/// What one claim of a queue has taken.
#[derive(Debug, Default)]
pub struct QueueClaim {
    /// Oldest first.
    pub deliveries: Vec<ClaimedDelivery>,
    /// With those that this node cannot read, and has set aside.
    pub taken: usize,
    /// What it took to read the queue: its share of the time of all that were read together.
    pub took: Duration,
}

/// How long a delivery that a node could not read is left alone: another one may know its words,
/// as newer nodes do while they are put in place of older ones.
const SET_ASIDE: Duration = Duration::from_secs(30);

/// What is asked of one queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueAsk {
    pub postback: PostbackId,
    /// Most deliveries that are claimed.
    pub places: usize,
    /// None before this is claimed.
    pub from: Option<QueuePosition>,
    /// Drawn for this claim alone.
    pub fence: Fence,
}

/// Claims what is due of each of these queues, oldest first. What this node cannot read is set aside,
/// and keeps none of the others. All of it or nothing is claimed.
pub async fn claim(pool: &Pool, node: NodeId, asks: &[QueueAsk]) -> Result<Vec<QueueClaim>, ClaimError> {
    let client = pool.get().await.map_err(StoreError::from)?;
    let statement = client.prepare_cached(include_str!("queries/claim_deliveries.sql")).await;
    let statement = statement.map_err(StoreError::from)?;
    let postbacks: Vec<Uuid> = asks.iter().map(|ask| ask.postback.0).collect();
    let places: Vec<i64> = asks.iter().map(|ask| i64::try_from(ask.places).unwrap_or(i64::MAX)).collect();
    let from_due: Vec<Option<DateTime<Utc>>> =
        asks.iter().map(|ask| ask.from.map(|from| from.due_at)).collect();
    let from_ids: Vec<Uuid> =
        asks.iter().map(|ask| ask.from.map_or(Uuid::nil(), |from| from.delivery_id.0)).collect();
    let fences: Vec<Fence> = asks.iter().map(|ask| ask.fence).collect();
    let lease_seconds = CLAIM_LEASE.as_secs_f64();
    let began = Instant::now();
    let rows = client
        .query(&statement, &[&postbacks, &places, &from_due, &from_ids, &fences, &node.0, &lease_seconds])
        .await
        .map_err(|error| ClaimError::InDoubt(error.into()))?;
    let took = began.elapsed() / u32::try_from(asks.len()).unwrap_or(u32::MAX).max(1);
    let (deliveries, unreadable) = read_each(&rows, read);
    if !unreadable.is_empty() {
        // Nothing was sent yet: should this fail, all of the claim can be given back.
        set_aside(&client, node, &fences, &unreadable)
            .await
            .map_err(|error| ClaimError::InDoubt(error.into()))?;
    }
    let mut claims: HashMap<Fence, QueueClaim> = HashMap::new();
    for row in &rows {
        claims.entry(row.get("fence")).or_default().taken += 1;
    }
    for delivery in deliveries {
        claims.entry(delivery.fence).or_default().deliveries.push(delivery);
    }
    let of = |ask: &QueueAsk| {
        let mut claim = claims.remove(&ask.fence).unwrap_or_default();
        claim.deliveries.sort_by_key(ClaimedDelivery::position);
        QueueClaim { took, ..claim }
    };
    Ok(asks.iter().map(of).collect())
}

/// Gives deliveries of a claim back as if they had not been claimed, to be due again in a while.
async fn set_aside(
    client: &Client,
    node: NodeId,
    fences: &[Fence],
    unreadable: &[Uuid],
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "UPDATE deliveries SET claimed_by = NULL, lease_until = NULL, attempt = attempt - 1,
                                   next_attempt_at = now() + make_interval(secs => $4)
             WHERE delivery_id = ANY($1) AND fence = ANY($2) AND claimed_by = $3",
            &[&unreadable, &fences, &node.0, &SET_ASIDE.as_secs_f64()],
        )
        .await?;
    Ok(())
}
