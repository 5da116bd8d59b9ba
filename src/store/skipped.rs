//! Deliveries that were finished before they began: written with the change they are of, never
//! claimed, and logged as one attempt that sent nothing.

use chrono::{DateTime, Utc};
use tokio_postgres::Statement;
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;
use crate::domain::event::Event;
use crate::domain::ids::{ChangeId, DeliveryId, LeadId, PostbackId};
use crate::event_log::rows::{AttemptRow, EncodedBatch, encode};

#[derive(Debug)]
pub struct SkippedDelivery {
    pub delivery_id: DeliveryId,
    pub postback_id: PostbackId,
    pub change_id: ChangeId,
    pub event: Event,
    pub lead_id: Option<LeadId>,
    /// Says why.
    pub row: AttemptRow,
}

/// What the log is told of them.
pub fn log_batch(skipped: &[SkippedDelivery]) -> Option<EncodedBatch> {
    encode(skipped.iter().map(|delivery| delivery.row.clone()))
}

pub async fn prepare_insert(session: &Session) -> Result<Statement, tokio_postgres::Error> {
    session
        .prepare_cached(
            "INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason,
                                              attempts, created_at, finished_at)
             SELECT delivery_id, postback_id, change_id, event, lead_id, 'skipped', reason, 1, $7, $7
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[])
                  AS skipped(delivery_id, postback_id, change_id, event, lead_id, reason)",
        )
        .await
}

/// Adds them inside the caller's transaction.
pub async fn insert(
    session: &Session,
    statement: &Statement,
    now: DateTime<Utc>,
    skipped: &[SkippedDelivery],
) -> Result<(), StoreError> {
    if skipped.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = skipped.iter().map(|delivery| delivery.delivery_id.0).collect();
    let postbacks: Vec<Uuid> = skipped.iter().map(|delivery| delivery.postback_id.0).collect();
    let changes: Vec<Uuid> = skipped.iter().map(|delivery| delivery.change_id.0).collect();
    let events: Vec<&str> = skipped.iter().map(|delivery| delivery.event.code()).collect();
    let leads: Vec<Option<Uuid>> = skipped.iter().map(|delivery| delivery.lead_id.map(|id| id.0)).collect();
    let reasons: Vec<&str> = skipped.iter().map(|delivery| delivery.row.reason.as_str()).collect();
    session.execute(statement, &[&ids, &postbacks, &changes, &events, &leads, &reasons, &now]).await?;
    Ok(())
}
