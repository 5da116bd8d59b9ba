//! Pauses that Ricochet makes by itself.

use deadpool_postgres::Pool;

use super::audit::{self, Actor, Entity};
use super::error::StoreError;
use crate::domain::ids::PostbackId;
use crate::domain::retry::GONE;

/// Whether a pause is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    Now,
    Before,
}

/// Pauses a postback whose destination answered 410, says why, and enters it in the audit log. A
/// transaction of its own: whoever edits the postback meanwhile holds up nobody else's outcomes.
pub async fn pause_gone(pool: &Pool, postback: PostbackId) -> Result<Paused, StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Postback, postback.0).await?;
    let paused = transaction
        .execute(
            "UPDATE postbacks SET is_paused = true, paused_reason = $2 WHERE postback_id = $1 AND NOT is_paused",
            &[&postback.0, &GONE],
        )
        .await?;
    if paused == 0 {
        return Ok(Paused::Before);
    }
    audit::record(&transaction, Actor::System, Entity::Postback, postback.0, "pause", before).await?;
    transaction.commit().await?;
    Ok(Paused::Now)
}
