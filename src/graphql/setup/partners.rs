//! Partners.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, owner, pool};
use crate::domain::ids::PartnerId;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::types::{LogConnection, connection};
use crate::store::setup::partners::{self, PartnerRecord};

#[derive(SimpleObject)]
pub struct Partner {
    partner_id: ID,
    name: String,
    created_at: Time,
}

impl From<PartnerRecord> for Partner {
    fn from(record: PartnerRecord) -> Self {
        Self { partner_id: record.partner_id.into(), name: record.name, created_at: record.created_at.into() }
    }
}

#[derive(InputObject)]
struct CreatePartnerInput {
    name: String,
}

#[derive(InputObject)]
struct UpdatePartnerInput {
    partner_id: ID,
    name: String,
}

#[derive(Default)]
pub struct PartnerQueries;

#[Object]
impl PartnerQueries {
    /// Partners, newest first: a partner sees itself, an advertiser none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn partners(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Partner>, Failure> {
        let request = page_request(ctx, List::Partners, first, after)?;
        let page = read_store(partners::list(pool(ctx), caller(ctx)?.scope(), &request)).await?;
        Ok(connection(List::Partners, &request, page))
    }
}

#[derive(Default)]
pub struct PartnerMutations;

#[Object]
impl PartnerMutations {
    /// Makes a new partner. Owners only.
    async fn create_partner(&self, ctx: &Context<'_>, input: CreatePartnerInput) -> Result<Partner, Failure> {
        let actor = owner(ctx)?.into();
        Ok(change(ctx, partners::create(pool(ctx), actor, &input.name)).await?.into())
    }

    /// Renames one. Owners only.
    async fn update_partner(&self, ctx: &Context<'_>, input: UpdatePartnerInput) -> Result<Partner, Failure> {
        let actor = owner(ctx)?.into();
        let id = PartnerId(uuid_at("input.partnerId", &input.partner_id)?);
        Ok(change(ctx, partners::rename(pool(ctx), actor, id, &input.name)).await?.into())
    }
}
