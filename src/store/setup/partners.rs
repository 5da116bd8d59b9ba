//! Partners.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ChangeError, Position, Positioned, name, position, positioned_by};
use crate::domain::ids::PartnerId;
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::network;
use crate::store::search::{Columns, Search, page};

#[derive(Debug, Clone, Serialize)]
pub struct PartnerRecord {
    pub partner_id: Uuid,
    pub name: String,
    pub created_at: DateTime<Utc>,
}
positioned_by!(PartnerRecord, partner_id);

const COLUMNS: Columns = Columns {
    selected: "partner_id, name, created_at",
    from: "partners",
    time: "created_at",
    id: "partner_id",
};

pub async fn create(pool: &Pool, actor: Actor, new_name: &str) -> Result<PartnerRecord, ChangeError> {
    let new_name = name("name", new_name)?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let id = network::add_partner(&transaction, new_name).await?;
    audit::record(&transaction, actor, Entity::Partner, id.0, "create", None).await?;
    transaction.commit().await?;
    drop(client);
    one(pool, id).await
}

pub async fn rename(
    pool: &Pool,
    actor: Actor,
    id: PartnerId,
    new_name: &str,
) -> Result<PartnerRecord, ChangeError> {
    let new_name = name("name", new_name)?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Partner, id.0).await?;
    if before.is_none() {
        return Err(ChangeError::NotFound { field: "partner_id", what: "partner" });
    }
    transaction.execute("UPDATE partners SET name = $2 WHERE partner_id = $1", &[&id.0, &new_name]).await?;
    audit::record(&transaction, actor, Entity::Partner, id.0, "update", before).await?;
    transaction.commit().await?;
    drop(client);
    one(pool, id).await
}

async fn one(pool: &Pool, id: PartnerId) -> Result<PartnerRecord, ChangeError> {
    let statement = format!("SELECT {} FROM partners WHERE partner_id = $1", COLUMNS.selected);
    Ok(read(&pool.get().await?.query_one(&statement, &[&id.0]).await?)?)
}

/// Partners in scope, newest first: a partner sees itself, an advertiser nobody.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    request: &PageRequest,
) -> Result<Page<PartnerRecord>, StoreError> {
    let mut search = Search::default();
    match scope {
        Scope::Everything => {}
        Scope::Partner(id) => search.compare("partner_id =", Some(id.0)),
        Scope::Advertiser(_) => return Ok(Page::empty()),
    }
    page(pool, COLUMNS, search, request, read).await
}

fn read(row: &Row) -> Result<PartnerRecord, StoreError> {
    Ok(PartnerRecord {
        partner_id: row.try_get("partner_id")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
    })
}
