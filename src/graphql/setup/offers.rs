//! Offers with their actions.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::actions::Action;
use super::caller::{caller, change, owner, pool};
use super::conditions::OfferPostbacks;
use crate::domain::ids::{AdvertiserId, OfferId};
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::{self, uuid_at};
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::scope::Scope;
use crate::graphql::types::{LogConnection, connection_of};
use crate::store::setup::offers::{self, OfferChange, OfferRecord};

#[derive(SimpleObject)]
pub struct Offer {
    offer_id: ID,
    advertiser_id: ID,
    name: String,
    /// Where visitors are sent, with macros such as `{click_id}`.
    landing_url: String,
    /// The query parameter that carries our click id where the landing URL does not place it.
    click_id_parameter: String,
    /// Whether an approved conversion may still be rejected (refund, chargeback).
    allows_refunds: bool,
    offer_postbacks: OfferPostbacks,
    actions: Vec<Action>,
    created_at: Time,
}

impl Offer {
    /// As `scope` sees it: what the network earns is not a partner's business.
    fn seen_by(scope: Scope, record: OfferRecord) -> Self {
        Self {
            offer_id: record.offer_id.into(),
            advertiser_id: record.advertiser_id.into(),
            name: record.name,
            landing_url: record.landing_url,
            click_id_parameter: record.click_id_parameter,
            allows_refunds: record.allows_refunds,
            offer_postbacks: record.offer_postbacks.into(),
            actions: record.actions.into_iter().map(|action| Action::seen_by(scope, action)).collect(),
            created_at: record.created_at.into(),
        }
    }
}

/// Which offers. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
struct OffersFilter {
    offer_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
}

#[derive(InputObject)]
struct CreateOfferInput {
    advertiser_id: ID,
    name: String,
    /// An http:// or https:// URL; macros such as `{click_id}` and `{sub1}` may stand after the host.
    landing_url: String,
    /// `click_id` where it is not given.
    click_id_parameter: Option<String>,
    /// True where it is not given.
    allows_refunds: Option<bool>,
    /// JOIN where it is not given.
    offer_postbacks: Option<OfferPostbacks>,
}

/// What is left out stays as it is.
#[derive(InputObject)]
struct UpdateOfferInput {
    offer_id: ID,
    name: Option<String>,
    landing_url: Option<String>,
    click_id_parameter: Option<String>,
    allows_refunds: Option<bool>,
    /// From the next event on.
    offer_postbacks: Option<OfferPostbacks>,
}

#[derive(Default)]
pub struct OfferQueries;

#[Object]
impl OfferQueries {
    /// Offers with their actions, newest first. An advertiser sees its own; a partner sees all, to
    /// choose from.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn offers(
        &self,
        ctx: &Context<'_>,
        filter: Option<OffersFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Offer>, Failure> {
        let request = page_request(ctx, List::Offers, first, after)?;
        let filter = filter.unwrap_or_default();
        let ids = filter::uuids("offerIds", filter.offer_ids.as_deref())?;
        let advertisers = filter::uuids("advertiserIds", filter.advertiser_ids.as_deref())?;
        let scope = caller(ctx)?.scope();
        let page = read_store(offers::list(pool(ctx), scope, ids, advertisers, &request)).await?;
        Ok(connection_of(List::Offers, &request, page, |record| Offer::seen_by(scope, record)))
    }
}

#[derive(Default)]
pub struct OfferMutations;

#[Object]
impl OfferMutations {
    /// Makes a new offer; its actions come next, by createAction. Owners only.
    async fn create_offer(&self, ctx: &Context<'_>, input: CreateOfferInput) -> Result<Offer, Failure> {
        let actor = owner(ctx)?.into();
        let advertiser = AdvertiserId(uuid_at("input.advertiserId", &input.advertiser_id)?);
        let settings = OfferChange {
            name: Some(input.name),
            landing_url: Some(input.landing_url),
            click_id_parameter: input.click_id_parameter,
            allows_refunds: input.allows_refunds,
            offer_postbacks: input.offer_postbacks.map(Into::into),
        };
        let record = change(ctx, offers::create(pool(ctx), actor, advertiser, settings)).await?;
        Ok(Offer::seen_by(Scope::Everything, record))
    }

    /// Changes an offer; clicks and conversions from now on follow it. Owners only.
    async fn update_offer(&self, ctx: &Context<'_>, input: UpdateOfferInput) -> Result<Offer, Failure> {
        let actor = owner(ctx)?.into();
        let id = OfferId(uuid_at("input.offerId", &input.offer_id)?);
        let settings = OfferChange {
            name: input.name,
            landing_url: input.landing_url,
            click_id_parameter: input.click_id_parameter,
            allows_refunds: input.allows_refunds,
            offer_postbacks: input.offer_postbacks.map(Into::into),
        };
        let record = change(ctx, offers::update(pool(ctx), actor, id, settings)).await?;
        Ok(Offer::seen_by(Scope::Everything, record))
    }
}
