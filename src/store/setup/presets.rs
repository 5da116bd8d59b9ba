//! Setting a preset up: all its postbacks, or none.

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::ChangeError;
use super::postbacks::{
    MAX_IN_FLIGHT, PostbackChange, TIMEOUT_MS, check_owner_and_scope, checked, set_condition,
};
use crate::domain::address_policy::Policy;
use crate::domain::postback::{Owner, Scope};
use crate::domain::request_template::RequestSettings;
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
    policy: &Policy,
    run: Run,
) -> Result<Vec<Uuid>, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    check_owner_and_scope(&transaction, owner, scope).await?;
    let mut ids = Vec::with_capacity(planned.len());
    for postback in planned {
        let settings = PostbackChange {
            events: Some(postback.events.clone()),
            condition: postback.condition.clone(),
            ..PostbackChange::default()
        };
        let (request, _) = checked(&settings, RequestSettings::get(&*postback.url_template), policy)?;
        let new = NewPostback {
            owner,
            scope,
            events: &postback.events,
            url_template: &request.url_template,
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
