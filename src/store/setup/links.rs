//! Links: a partner's ways to an offer.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ChangeError, Position, Positioned, label, position, positioned_by};
use crate::domain::composite::{Composite, Layout};
use crate::domain::ids::{LinkId, OfferId, PartnerId};
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::links::{self, LinkError};
use crate::store::network;
use crate::store::search::{Columns, Search, page};

#[derive(Debug, Clone, Serialize)]
pub struct LinkRecord {
    pub link_id: Uuid,
    pub offer_id: Uuid,
    pub partner_id: Uuid,
    pub composite: Option<Composite>,
    pub created_at: DateTime<Utc>,
}
positioned_by!(LinkRecord, link_id);

const COLUMNS: Columns = Columns {
    selected: "link_id, offer_id, partner_id, composite, created_at",
    from: "links",
    time: "created_at",
    id: "link_id",
};

pub async fn create(
    pool: &Pool,
    actor: Actor,
    offer: OfferId,
    partner: PartnerId,
) -> Result<LinkRecord, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let offer_is_known = "SELECT 1 FROM offers WHERE offer_id = $1 FOR KEY SHARE";
    if transaction.query_opt(offer_is_known, &[&offer.0]).await?.is_none() {
        return Err(ChangeError::NotFound { field: "offer_id", what: "offer" });
    }
    let partner_is_known = "SELECT 1 FROM partners WHERE partner_id = $1 FOR KEY SHARE";
    if transaction.query_opt(partner_is_known, &[&partner.0]).await?.is_none() {
        return Err(ChangeError::NotFound { field: "partner_id", what: "partner" });
    }
    let id = network::add_link(&transaction, offer, partner).await?;
    audit::record(&transaction, actor, Entity::Link, id.0, "create", None).await?;
    let statement = format!("SELECT {} FROM links WHERE link_id = $1", COLUMNS.selected);
    let row = transaction.query_one(&statement, &[&id.0]).await?;
    transaction.commit().await?;
    Ok(read(&row)?)
}

/// Says how a link's composite parameter is read and written; `None`: it has none.
pub async fn set_composite(
    pool: &Pool,
    actor: Actor,
    id: LinkId,
    composite: Option<&Composite>,
) -> Result<LinkRecord, ChangeError> {
    if let Some(Composite { layout: Layout::Pps { value, .. }, .. }) = composite {
        label("composite.custom.account_value", value)?;
    }
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Link, id.0).await?;
    links::set_composite(&transaction, id, composite).await.map_err(refused)?;
    audit::record(&transaction, actor, Entity::Link, id.0, "set_composite", before).await?;
    let statement = format!("SELECT {} FROM links WHERE link_id = $1", COLUMNS.selected);
    let row = transaction.query_one(&statement, &[&id.0]).await?;
    transaction.commit().await?;
    Ok(read(&row)?)
}

/// The first fault of a composite, at its field.
fn refused(error: LinkError) -> ChangeError {
    match error {
        LinkError::Composite(faults) => {
            let first = faults.into_iter().next();
            let field = match first.as_ref().map(|fault| fault.field.as_str()) {
                Some("parameter") => "composite.custom.parameter",
                Some("start") => "composite.custom.start",
                Some("end") => "composite.custom.end",
                Some("separator") => "composite.custom.separator",
                Some("fields") => "composite.custom.fields",
                Some("layout.parameter") => "composite.custom.account_parameter",
                _ => "composite",
            };
            ChangeError::bad(field, first.map_or_else(String::new, |fault| fault.message))
        }
        LinkError::Unknown(_) => ChangeError::NotFound { field: "link_id", what: "link" },
        LinkError::Store(error) => error.into(),
    }
}

/// Links in scope, newest first: a partner sees its own, an advertiser none.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    offer_ids: Vec<Uuid>,
    partner_ids: Vec<Uuid>,
    request: &PageRequest,
) -> Result<Page<LinkRecord>, StoreError> {
    let mut search = Search::default();
    match scope {
        Scope::Everything => {}
        Scope::Partner(id) => search.compare("partner_id =", Some(id.0)),
        Scope::Advertiser(_) => return Ok(Page::empty()),
    }
    search.one_of("offer_id", offer_ids);
    search.one_of("partner_id", partner_ids);
    page(pool, COLUMNS, search, request, read).await
}

fn read(row: &Row) -> Result<LinkRecord, StoreError> {
    let composite: Option<serde_json::Value> = row.try_get("composite")?;
    Ok(LinkRecord {
        link_id: row.try_get("link_id")?,
        offer_id: row.try_get("offer_id")?,
        partner_id: row.try_get("partner_id")?,
        composite: composite
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| StoreError::Unreadable(format!("links.composite: {error}")))?,
        created_at: row.try_get("created_at")?,
    })
}
