//! Advertisers.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ChangeError, Position, Positioned, name, position, positioned_by};
use crate::domain::ids::AdvertiserId;
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::network;
use crate::store::search::{Columns, Search, page};

#[derive(Debug, Clone, Serialize)]
pub struct AdvertiserRecord {
    pub advertiser_id: Uuid,
    pub name: String,
    /// How long after a click a new conversion counts; `None`: for ever.
    pub attribution_window_hours: Option<i32>,
    pub created_at: DateTime<Utc>,
}
positioned_by!(AdvertiserRecord, advertiser_id);

const COLUMNS: Columns = Columns {
    selected: "advertiser_id, name, attribution_window_hours, created_at",
    from: "advertisers",
    time: "created_at",
    id: "advertiser_id",
};

pub async fn create(pool: &Pool, actor: Actor, new_name: &str) -> Result<AdvertiserRecord, ChangeError> {
    let new_name = name("name", new_name)?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let id = network::add_advertiser(&transaction, new_name).await?;
    audit::record(&transaction, actor, Entity::Advertiser, id.0, "create", None).await?;
    transaction.commit().await?;
    drop(client);
    one(pool, id).await
}

/// What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct AdvertiserChange {
    pub name: Option<String>,
    /// `Some(None)`: clicks count for ever.
    pub attribution_window_hours: Option<Option<i32>>,
}

/// Longest attribution window, in hours: ten years.
pub const LONGEST_WINDOW_HOURS: i32 = 87_600;

pub async fn update(
    pool: &Pool,
    actor: Actor,
    id: AdvertiserId,
    change: &AdvertiserChange,
) -> Result<AdvertiserRecord, ChangeError> {
    let new_name = change.name.as_deref().map(|text| name("name", text)).transpose()?;
    let window = change.attribution_window_hours;
    if window.flatten().is_some_and(|hours| !(1..=LONGEST_WINDOW_HOURS).contains(&hours)) {
        let message = "write 1 to 87600 hours, or null where clicks count for ever";
        return Err(ChangeError::bad("attribution_window_hours", message));
    }
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Advertiser, id.0).await?;
    if before.is_none() {
        return Err(ChangeError::NotFound { field: "advertiser_id", what: "advertiser" });
    }
    transaction
        .execute(
            "UPDATE advertisers SET name = COALESCE($2, name),
                    attribution_window_hours = CASE WHEN $3 THEN $4 ELSE attribution_window_hours END
             WHERE advertiser_id = $1",
            &[&id.0, &new_name, &window.is_some(), &window.flatten()],
        )
        .await?;
    audit::record(&transaction, actor, Entity::Advertiser, id.0, "update", before).await?;
    transaction.commit().await?;
    drop(client);
    one(pool, id).await
}

async fn one(pool: &Pool, id: AdvertiserId) -> Result<AdvertiserRecord, ChangeError> {
    let statement = format!("SELECT {} FROM advertisers WHERE advertiser_id = $1", COLUMNS.selected);
    Ok(read(&pool.get().await?.query_one(&statement, &[&id.0]).await?)?)
}

/// Advertisers in scope, newest first: an advertiser sees itself, a partner nobody.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    request: &PageRequest,
) -> Result<Page<AdvertiserRecord>, StoreError> {
    let mut search = Search::default();
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.compare("advertiser_id =", Some(id.0)),
        Scope::Partner(_) => return Ok(Page::empty()),
    }
    page(pool, COLUMNS, search, request, read).await
}

fn read(row: &Row) -> Result<AdvertiserRecord, StoreError> {
    Ok(AdvertiserRecord {
        advertiser_id: row.try_get("advertiser_id")?,
        name: row.try_get("name")?,
        attribution_window_hours: row.try_get("attribution_window_hours")?,
        created_at: row.try_get("created_at")?,
    })
}
