//! Who may change something, and what follows when it has been changed.

use std::sync::Arc;

use async_graphql::Context;
use deadpool_postgres::Pool;

use crate::graphql::failure::{Failure, read_store};
use crate::graphql::query::databases;
use crate::graphql::scope::{Grant, Principal};
use crate::pipeline::services::Services;
use crate::store::secrets::Keyring;

pub fn caller(ctx: &Context<'_>) -> Result<Principal, Failure> {
    ctx.data_opt::<Principal>().copied().ok_or(Failure::Unauthenticated)
}

/// The caller, who must be the owner.
pub fn owner(ctx: &Context<'_>) -> Result<Principal, Failure> {
    let caller = caller(ctx)?;
    match caller.grant {
        Grant::Owner => Ok(caller),
        Grant::Advertiser(_) | Grant::Partner(_) | Grant::Bi(_) => Err(forbidden(caller.grant, "an owner")),
    }
}

/// The caller, who must be one that changes things at all.
pub fn writer(ctx: &Context<'_>) -> Result<Principal, Failure> {
    let caller = caller(ctx)?;
    match caller.grant {
        Grant::Owner | Grant::Advertiser(_) | Grant::Partner(_) => Ok(caller),
        Grant::Bi(_) => Err(forbidden(caller.grant, "an owner, advertiser or partner")),
    }
}

/// The caller, who must be the owner or an advertiser.
pub fn advertising(ctx: &Context<'_>) -> Result<Principal, Failure> {
    let caller = caller(ctx)?;
    match caller.grant {
        Grant::Owner | Grant::Advertiser(_) => Ok(caller),
        Grant::Partner(_) | Grant::Bi(_) => Err(forbidden(caller.grant, "an owner or advertiser")),
    }
}

pub fn forbidden(grant: Grant, who_may: &str) -> Failure {
    let role = grant.role();
    Failure::Forbidden {
        message: format!("this token's role is {role}, which cannot do this; use a token of {who_may}"),
    }
}

pub fn pool<'a>(ctx: &'a Context<'_>) -> &'a Pool {
    &databases(ctx).pool
}

/// Connections for changes of conversions, which must not wait for dashboards.
pub fn writing_pool<'a>(ctx: &'a Context<'_>) -> &'a Pool {
    ctx.data_opt::<Arc<Services>>().map_or_else(|| pool(ctx), |services| &services.pool)
}

/// What secrets are encrypted under; of no node, nothing is.
pub fn keyring(ctx: &Context<'_>) -> Keyring {
    ctx.data_opt::<Arc<Services>>().map(|services| services.keyring.clone()).unwrap_or_default()
}

/// Makes a change of what the catalogue holds, after which this node's next request sees it.
pub async fn change<T, E: Into<Failure>>(
    ctx: &Context<'_>,
    change: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let changed = read_store(change).await?;
    if let Some(services) = ctx.data_opt::<Arc<Services>>()
        && let Err(error) = services.refresh_catalogue().await
    {
        // The change stands; the node looks again within a second, as the others do.
        tracing::warn!(%error, "a change is seen a little later: the catalogue could not be read");
    }
    Ok(changed)
}
