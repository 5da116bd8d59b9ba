//! Setting a preset up: all its postbacks, or none.

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::ChangeError;
use super::postbacks::{MAX_IN_FLIGHT, TIMEOUT_MS, check_owner_and_scope, set_condition};
use crate::domain::condition::Condition;
use crate::domain::postback::{Owner, Scope};
use crate::presets::outbound::PlannedPostback;
use crate::store::audit::{self, Actor, Entity};
use crate::store::network::{self, NewPostback};

/// Whether what a preset comes to is only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Everything is tried, and nothing stays.
    Dry,
    Real,
}

/// Makes the postbacks in one transaction; their ids, in order.
pub async fn set_up(
    pool: &Pool,
    actor: Actor,
    owner: Owner,
    scope: Scope,
    planned: &[PlannedPostback],
    run: Run,
) -> Result<Vec<Uuid>, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    check_owner_and_scope(&transaction, owner, scope).await?;
    let mut ids = Vec::with_capacity(planned.len());
    for postback in planned {
        if let Some(condition) = &postback.condition {
            Condition::parse(condition).map_err(|error| ChangeError::bad("condition", error.to_string()))?;
        }
        let new = NewPostback {
            owner,
            scope,
            events: &postback.events,
            url_template: &postback.url_template,
            retry_schedule_ms: None,
            timeout_ms: TIMEOUT_MS,
            max_in_flight: MAX_IN_FLIGHT,
        };
        let id = network::add_postback(&transaction, &new).await?;
        set_condition(&transaction, id, postback.condition.as_deref()).await?;
        audit::record(&transaction, actor, Entity::Postback, id.0, "create", None).await?;
        ids.push(id.0);
    }
    match run {
        Run::Dry => transaction.rollback().await?,
        Run::Real => transaction.commit().await?,
    }
    Ok(ids)
}
