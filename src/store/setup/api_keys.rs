//! API keys of advertisers: shown once, kept as a hash, two live at most.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ChangeError, Position, Positioned, label, position, positioned_by};
use crate::domain::catalogue::hash_key;
use crate::domain::ids::AdvertiserId;
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::network;
use crate::store::search::{Columns, Search, page};

/// Enough to replace one by another without a gap; more would be forgotten.
const LIVE_KEYS: i64 = 2;

#[derive(Debug, Clone, Serialize)]
pub struct ApiKeyRecord {
    pub api_key_id: Uuid,
    pub advertiser_id: Uuid,
    pub label: String,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}
positioned_by!(ApiKeyRecord, api_key_id);

/// A key with its secret, which is nowhere else and cannot be shown again.
#[derive(Debug)]
pub struct NewApiKey {
    pub record: ApiKeyRecord,
    pub secret: String,
}

const COLUMNS: Columns = Columns {
    selected: "api_key_id, advertiser_id, label, created_at, revoked_at",
    from: "api_keys",
    time: "created_at",
    id: "api_key_id",
};

pub async fn create(
    pool: &Pool,
    actor: Actor,
    advertiser: AdvertiserId,
    note: &str,
) -> Result<NewApiKey, ChangeError> {
    let note = label("label", note)?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    // The lock keeps two callers from making a third key together.
    if audit::snapshot(&transaction, Entity::Advertiser, advertiser.0).await?.is_none() {
        return Err(ChangeError::NotFound { field: "advertiser_id", what: "advertiser" });
    }
    let count = "SELECT count(*) FROM api_keys WHERE advertiser_id = $1 AND revoked_at IS NULL";
    let live: i64 = transaction.query_one(count, &[&advertiser.0]).await?.get(0);
    if live >= LIVE_KEYS {
        let message =
            "the advertiser has two live keys, which is the most; revoke the one no longer used first";
        return Err(ChangeError::bad("advertiser_id", message));
    }
    let secret = network::add_api_key(&transaction, advertiser).await?;
    let set = format!("UPDATE api_keys SET label = $2 WHERE key_hash = $1 RETURNING {}", COLUMNS.selected);
    let row = transaction.query_one(&set, &[&hash_key(&secret).as_slice(), &note]).await?;
    let record = read(&row)?;
    audit::record(&transaction, actor, Entity::ApiKey, record.api_key_id, "create", None).await?;
    transaction.commit().await?;
    Ok(NewApiKey { record, secret })
}

/// Revokes a key in scope for good; a repeat changes nothing.
pub async fn revoke(pool: &Pool, actor: Actor, scope: Scope, id: Uuid) -> Result<ApiKeyRecord, ChangeError> {
    let not_found = ChangeError::NotFound { field: "api_key_id", what: "API key" };
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let statement = format!("SELECT {} FROM api_keys WHERE api_key_id = $1 FOR UPDATE", COLUMNS.selected);
    let Some(row) = transaction.query_opt(&statement, &[&id]).await? else { return Err(not_found) };
    let known = read(&row)?;
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(own) if own.0 == known.advertiser_id => {}
        Scope::Advertiser(_) | Scope::Partner(_) => return Err(not_found),
    }
    if known.revoked_at.is_some() {
        return Ok(known);
    }
    let before = audit::snapshot(&transaction, Entity::ApiKey, id).await?;
    let set = format!(
        "UPDATE api_keys SET revoked_at = now() WHERE api_key_id = $1 RETURNING {}",
        COLUMNS.selected
    );
    let row = transaction.query_one(&set, &[&id]).await?;
    audit::record(&transaction, actor, Entity::ApiKey, id, "revoke", before).await?;
    transaction.commit().await?;
    Ok(read(&row)?)
}

/// Keys in scope, newest first: an advertiser sees its own, a partner none.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    advertiser_ids: Vec<Uuid>,
    request: &PageRequest,
) -> Result<Page<ApiKeyRecord>, StoreError> {
    let mut search = Search::default();
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.compare("advertiser_id =", Some(id.0)),
        Scope::Partner(_) => return Ok(Page::empty()),
    }
    search.one_of("advertiser_id", advertiser_ids);
    page(pool, COLUMNS, search, request, read).await
}

fn read(row: &Row) -> Result<ApiKeyRecord, StoreError> {
    Ok(ApiKeyRecord {
        api_key_id: row.try_get("api_key_id")?,
        advertiser_id: row.try_get("advertiser_id")?,
        label: row.try_get("label")?,
        created_at: row.try_get("created_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
