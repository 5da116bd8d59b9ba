//! Adds to the network: advertisers, partners, offers, links, postbacks. Whatever is saved here
//! can be loaded into the catalogue, so templates are checked before they are written.

use deadpool_postgres::GenericClient;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::catalogue::hash_key;
use crate::domain::click::LANDING_MACROS;
use crate::domain::event::{ActionKind, Event};
use crate::domain::facts::POSTBACK_MACROS;
use crate::domain::ids::{ActionId, AdvertiserId, LinkId, OfferId, PartnerId, PostbackId};
use crate::domain::money::Currency;
use crate::domain::payout::{PartnerPayout, PayoutModel};
use crate::domain::postback::{Owner, Scope};
use crate::domain::template::{TemplateError, UrlTemplate};

#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("landing_url: {0}")]
    LandingUrl(TemplateError),
    #[error("url_template: {0}")]
    PostbackUrl(TemplateError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for SaveError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

pub async fn add_advertiser(client: &impl GenericClient, name: &str) -> Result<AdvertiserId, SaveError> {
    let id = AdvertiserId(Uuid::now_v7());
    client.execute("INSERT INTO advertisers (advertiser_id, name) VALUES ($1, $2)", &[&id.0, &name]).await?;
    Ok(id)
}

/// Gives an advertiser a new key. It is returned once and kept only as its hash.
pub async fn add_api_key(client: &impl GenericClient, advertiser: AdvertiserId) -> Result<String, SaveError> {
    let key = random_secret("rk_");
    client
        .execute(
            "INSERT INTO api_keys (api_key_id, advertiser_id, key_hash) VALUES ($1, $2, $3)",
            &[&Uuid::now_v7(), &advertiser.0, &hash_key(&key).as_slice()],
        )
        .await?;
    Ok(key)
}

/// 256 random bits in hexadecimal, after a prefix that tells what it is.
pub fn random_secret(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().fold(prefix.to_owned(), |secret, byte| secret + &format!("{byte:02x}"))
}

pub async fn add_partner(client: &impl GenericClient, name: &str) -> Result<PartnerId, SaveError> {
    let id = PartnerId(Uuid::now_v7());
    client.execute("INSERT INTO partners (partner_id, name) VALUES ($1, $2)", &[&id.0, &name]).await?;
    Ok(id)
}

pub struct NewAction<'a> {
    pub name: &'a str,
    pub kind: ActionKind,
    pub payout_model: PayoutModel,
    pub advertiser_rate: Decimal,
    pub commission_percent: Decimal,
    pub payout: PartnerPayout,
    pub currency: Currency,
    pub repeatable: bool,
}

pub async fn add_offer(
    client: &impl GenericClient,
    advertiser: AdvertiserId,
    name: &str,
    landing_url: &str,
    actions: &[NewAction<'_>],
) -> Result<OfferId, SaveError> {
    UrlTemplate::parse(landing_url, LANDING_MACROS).map_err(SaveError::LandingUrl)?;
    let id = OfferId(Uuid::now_v7());
    client
        .execute(
            "INSERT INTO offers (offer_id, advertiser_id, name, landing_url) VALUES ($1, $2, $3, $4)",
            &[&id.0, &advertiser.0, &name, &landing_url],
        )
        .await?;
    for action in actions {
        add_action(client, id, action).await?;
    }
    Ok(id)
}

/// Marks the action that a conversion is of when its sender names none.
pub async fn set_default_action(
    client: &impl GenericClient,
    offer: OfferId,
    action_name: &str,
) -> Result<(), SaveError> {
    // Two statements: the index allows one default at every moment.
    client
        .execute("UPDATE actions SET is_default = false WHERE offer_id = $1 AND is_default", &[&offer.0])
        .await?;
    client
        .execute(
            "UPDATE actions SET is_default = true WHERE offer_id = $1 AND lower(name) = lower($2)",
            &[&offer.0, &action_name],
        )
        .await?;
    Ok(())
}

pub async fn add_action(
    client: &impl GenericClient,
    offer: OfferId,
    action: &NewAction<'_>,
) -> Result<ActionId, SaveError> {
    let (amount, percent) = match action.payout {
        PartnerPayout::Amount(amount) => (Some(amount), None),
        PartnerPayout::Percent(percent) => (None, Some(percent)),
    };
    let id = ActionId(Uuid::now_v7());
    client
        .execute(
            "INSERT INTO actions (action_id, offer_id, name, kind, payout_model, advertiser_rate,
                                  commission_percent, payout_amount, payout_percent, currency, is_repeatable)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                &id.0,
                &offer.0,
                &action.name,
                &action.kind.code(),
                &action.payout_model.code(),
                &action.advertiser_rate,
                &action.commission_percent,
                &amount,
                &percent,
                &action.currency.code(),
                &action.repeatable,
            ],
        )
        .await?;
    Ok(id)
}

pub async fn add_link(
    client: &impl GenericClient,
    offer: OfferId,
    partner: PartnerId,
) -> Result<LinkId, SaveError> {
    let id = LinkId(Uuid::now_v7());
    client
        .execute(
            "INSERT INTO links (link_id, offer_id, partner_id) VALUES ($1, $2, $3)",
            &[&id.0, &offer.0, &partner.0],
        )
        .await?;
    Ok(id)
}

pub struct NewPostback<'a> {
    pub owner: Owner,
    pub scope: Scope,
    pub events: &'a [Event],
    pub url_template: &'a str,
    /// Milliseconds between attempts; `None` for the default schedule.
    pub retry_schedule_ms: Option<Vec<i64>>,
    pub timeout_ms: i32,
    pub max_in_flight: i32,
}

pub async fn add_postback(
    client: &impl GenericClient,
    postback: &NewPostback<'_>,
) -> Result<PostbackId, SaveError> {
    UrlTemplate::parse_with_secret(postback.url_template, POSTBACK_MACROS).map_err(SaveError::PostbackUrl)?;
    let (partner, advertiser) = match postback.owner {
        Owner::Partner(id) => (Some(id.0), None),
        Owner::Advertiser(id) => (None, Some(id.0)),
        Owner::Platform => (None, None),
    };
    let (offer, link) = match postback.scope {
        Scope::Global => (None, None),
        Scope::Offer(id) => (Some(id.0), None),
        Scope::Link(id) => (None, Some(id.0)),
    };
    let events: Vec<&str> = postback.events.iter().map(|event| event.code()).collect();
    let id = PostbackId(Uuid::now_v7());
    client
        .execute(
            "INSERT INTO postbacks (postback_id, partner_id, advertiser_id, offer_id, link_id, events, url_template,
                                    max_in_flight, timeout_ms, retry_schedule_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                &id.0,
                &partner,
                &advertiser,
                &offer,
                &link,
                &events,
                &postback.url_template,
                &postback.max_in_flight,
                &postback.timeout_ms,
                &postback.retry_schedule_ms,
            ],
        )
        .await?;
    Ok(id)
}
