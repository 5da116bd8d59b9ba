//! Offers, each with its actions.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::actions::{self, ActionRecord};
use super::{ChangeError, Position, Positioned, name, position, positioned_by, url_length};
use crate::domain::click::LANDING_MACROS;
use crate::domain::ids::{AdvertiserId, OfferId};
use crate::domain::postback::OfferPostbacks;
use crate::domain::template::UrlTemplate;
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::network;
use crate::store::search::{Columns, Search, page};

#[derive(Debug, Clone, Serialize)]
pub struct OfferRecord {
    pub offer_id: Uuid,
    pub advertiser_id: Uuid,
    pub name: String,
    pub landing_url: String,
    pub click_id_parameter: String,
    pub allows_refunds: bool,
    pub offer_postbacks: OfferPostbacks,
    pub created_at: DateTime<Utc>,
    pub actions: Vec<ActionRecord>,
}
positioned_by!(OfferRecord, offer_id);

/// What to set of an offer; `None` leaves it as it is, or as it is by default.
#[derive(Debug, Clone, Default)]
pub struct OfferChange {
    pub name: Option<String>,
    pub landing_url: Option<String>,
    pub click_id_parameter: Option<String>,
    pub allows_refunds: Option<bool>,
    pub offer_postbacks: Option<OfferPostbacks>,
}

const COLUMNS: Columns = Columns { selected: "*", from: "offers", time: "created_at", id: "offer_id" };

pub async fn create(
    pool: &Pool,
    actor: Actor,
    advertiser: AdvertiserId,
    change: OfferChange,
) -> Result<OfferRecord, ChangeError> {
    let new_name = name("name", change.name.as_deref().unwrap_or_default())?.to_owned();
    let landing_url = change.landing_url.clone().unwrap_or_default();
    check(&change)?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let known = "SELECT 1 FROM advertisers WHERE advertiser_id = $1 FOR KEY SHARE";
    if transaction.query_opt(known, &[&advertiser.0]).await?.is_none() {
        return Err(ChangeError::NotFound { field: "advertiser_id", what: "advertiser" });
    }
    let id = network::add_offer(&transaction, advertiser, &new_name, &landing_url, &[]).await?;
    write(&transaction, id, &change).await?;
    audit::record(&transaction, actor, Entity::Offer, id.0, "create", None).await?;
    transaction.commit().await?;
    drop(client);
    one(pool, id).await
}

pub async fn update(
    pool: &Pool,
    actor: Actor,
    id: OfferId,
    change: OfferChange,
) -> Result<OfferRecord, ChangeError> {
    check(&change)?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Offer, id.0).await?;
    if before.is_none() {
        return Err(ChangeError::NotFound { field: "offer_id", what: "offer" });
    }
    write(&transaction, id, &change).await?;
    audit::record(&transaction, actor, Entity::Offer, id.0, "update", before).await?;
    transaction.commit().await?;
    drop(client);
    one(pool, id).await
}

fn check(change: &OfferChange) -> Result<(), ChangeError> {
    if let Some(text) = &change.name {
        name("name", text)?;
    }
    if let Some(url) = &change.landing_url {
        url_length("landing_url", url)?;
        UrlTemplate::parse(url, LANDING_MACROS)
            .map_err(|error| ChangeError::bad("landing_url", error.to_string()))?;
    }
    if let Some(parameter) = &change.click_id_parameter {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte);
        if parameter.is_empty() || parameter.len() > 64 || !parameter.bytes().all(is_plain) {
            let message = "write the name of a query parameter, such as click_id: 1 to 64 letters, digits, \
                           or - _ . [ ]";
            return Err(ChangeError::bad("click_id_parameter", message));
        }
    }
    Ok(())
}

async fn write(transaction: &Transaction<'_>, id: OfferId, change: &OfferChange) -> Result<(), ChangeError> {
    transaction
        .execute(
            "UPDATE offers SET name = COALESCE($2, name), landing_url = COALESCE($3, landing_url),
                               click_id_parameter = COALESCE($4, click_id_parameter),
                               allows_refunds = COALESCE($5, allows_refunds),
                               offer_postbacks = COALESCE($6, offer_postbacks)
             WHERE offer_id = $1",
            &[
                &id.0,
                &change.name.as_deref().map(str::trim),
                &change.landing_url,
                &change.click_id_parameter,
                &change.allows_refunds,
                &change.offer_postbacks.map(OfferPostbacks::code),
            ],
        )
        .await?;
    Ok(())
}

/// Offers, newest first. An advertiser sees its own; a partner sees all, to choose from.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    ids: Vec<Uuid>,
    advertiser_ids: Vec<Uuid>,
    request: &PageRequest,
) -> Result<Page<OfferRecord>, StoreError> {
    let mut search = Search::default();
    if let Scope::Advertiser(id) = scope {
        search.compare("advertiser_id =", Some(id.0));
    }
    search.one_of("offer_id", ids);
    search.one_of("advertiser_id", advertiser_ids);
    let mut page = page(pool, COLUMNS, search, request, read).await?;
    add_actions(pool, &mut page.rows).await?;
    Ok(page)
}

async fn one(pool: &Pool, id: OfferId) -> Result<OfferRecord, ChangeError> {
    let row = pool.get().await?.query_one("SELECT * FROM offers WHERE offer_id = $1", &[&id.0]).await?;
    let mut offers = [read(&row)?];
    add_actions(pool, &mut offers).await?;
    let [offer] = offers;
    Ok(offer)
}

/// One query for all offers.
async fn add_actions(pool: &Pool, offers: &mut [OfferRecord]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = offers.iter().map(|offer| offer.offer_id).collect();
    let of_offers = "SELECT * FROM actions WHERE offer_id = ANY($1) ORDER BY name";
    let mut by_offer: HashMap<Uuid, Vec<ActionRecord>> = HashMap::new();
    for row in &pool.get().await?.query(of_offers, &[&ids]).await? {
        let action = actions::read(row)?;
        by_offer.entry(action.offer_id).or_default().push(action);
    }
    for offer in offers {
        offer.actions = by_offer.remove(&offer.offer_id).unwrap_or_default();
    }
    Ok(())
}

fn read(row: &Row) -> Result<OfferRecord, StoreError> {
    Ok(OfferRecord {
        offer_id: row.try_get("offer_id")?,
        advertiser_id: row.try_get("advertiser_id")?,
        name: row.try_get("name")?,
        landing_url: row.try_get("landing_url")?,
        click_id_parameter: row.try_get("click_id_parameter")?,
        allows_refunds: row.try_get("allows_refunds")?,
        offer_postbacks: OfferPostbacks::from_code(row.try_get("offer_postbacks")?)
            .ok_or_else(|| StoreError::Unreadable("offers.offer_postbacks".into()))?,
        created_at: row.try_get("created_at")?,
        actions: Vec::new(),
    })
}
