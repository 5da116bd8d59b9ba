//! Links.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, forbidden, pool};
use super::composites::LinkComposite;
use crate::domain::ids::{OfferId, PartnerId};
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::{self, uuid_at};
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::scope::Grant;
use crate::graphql::types::{LogConnection, connection};
use crate::store::setup::links::{self, LinkRecord};

/// A partner's way to an offer.
#[derive(SimpleObject)]
pub struct Link {
    link_id: ID,
    offer_id: ID,
    partner_id: ID,
    /// Where visitors are to be sent, below the server's address.
    click_path: String,
    /// Several values in one parameter; null: there is none.
    composite: Option<LinkComposite>,
    created_at: Time,
}

impl From<LinkRecord> for Link {
    fn from(record: LinkRecord) -> Self {
        Self {
            click_path: format!("/click/{}", record.link_id),
            link_id: record.link_id.into(),
            offer_id: record.offer_id.into(),
            partner_id: record.partner_id.into(),
            composite: record.composite.map(LinkComposite::from),
            created_at: record.created_at.into(),
        }
    }
}

/// Which links. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
struct LinksFilter {
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
}

#[derive(InputObject)]
struct CreateLinkInput {
    offer_id: ID,
    /// Whose link it is; a partner may leave it out.
    partner_id: Option<ID>,
}

#[derive(Default)]
pub struct LinkQueries;

#[Object]
impl LinkQueries {
    /// Links, newest first: a partner sees its own, an advertiser none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn links(
        &self,
        ctx: &Context<'_>,
        filter: Option<LinksFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Link>, Failure> {
        let request = page_request(ctx, List::Links, first, after)?;
        let filter = filter.unwrap_or_default();
        let offers = filter::uuids("offerIds", filter.offer_ids.as_deref())?;
        let partners = filter::uuids("partnerIds", filter.partner_ids.as_deref())?;
        let scope = caller(ctx)?.scope();
        let page = read_store(links::list(pool(ctx), scope, offers, partners, &request)).await?;
        Ok(connection(List::Links, &request, page))
    }
}

#[derive(Default)]
pub struct LinkMutations;

#[Object]
impl LinkMutations {
    /// Makes a link to an offer. A partner makes its own, an owner anyone's.
    async fn create_link(&self, ctx: &Context<'_>, input: CreateLinkInput) -> Result<Link, Failure> {
        let caller = caller(ctx)?;
        let partner = input.partner_id.as_ref().map(|id| uuid_at("input.partnerId", id)).transpose()?;
        let partner = match (caller.grant, partner) {
            (Grant::Owner, Some(id)) => PartnerId(id),
            (Grant::Owner, None) => {
                return Err(Failure::bad_input("input.partnerId", "say whose link it is to be"));
            }
            (Grant::Partner(own), None) => own,
            (Grant::Partner(own), Some(id)) if own.0 == id => own,
            (Grant::Partner(_), Some(_)) => {
                let message = "there is no such partner; leave it out for a link of your own".into();
                return Err(Failure::NotFound { field: "input.partnerId".into(), message });
            }
            (grant @ (Grant::Advertiser(_) | Grant::Bi(_)), _) => {
                return Err(forbidden(grant, "an owner or partner"));
            }
        };
        let offer = OfferId(uuid_at("input.offerId", &input.offer_id)?);
        Ok(change(ctx, links::create(pool(ctx), caller.into(), offer, partner)).await?.into())
    }
}
