//! Advertisers.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::caller::{caller, change, owner, pool};
use crate::domain::ids::AdvertiserId;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::types::{LogConnection, connection};
use crate::store::setup::advertisers::{self, AdvertiserChange, AdvertiserRecord};

#[derive(SimpleObject)]
pub struct Advertiser {
    advertiser_id: ID,
    name: String,
    /// How long after a click a new conversion counts; null: for ever.
    attribution_window_hours: Option<i32>,
    created_at: Time,
}

impl From<AdvertiserRecord> for Advertiser {
    fn from(record: AdvertiserRecord) -> Self {
        Self {
            advertiser_id: record.advertiser_id.into(),
            name: record.name,
            attribution_window_hours: record.attribution_window_hours,
            created_at: record.created_at.into(),
        }
    }
}

#[derive(InputObject)]
struct CreateAdvertiserInput {
    name: String,
}

/// What is left out stays as it is.
#[derive(InputObject)]
struct UpdateAdvertiserInput {
    advertiser_id: ID,
    name: Option<String>,
    /// How long after a click a new conversion counts, 1 to 87600; null: for ever.
    attribution_window_hours: MaybeUndefined<i32>,
}

#[derive(Default)]
pub struct AdvertiserQueries;

#[Object]
impl AdvertiserQueries {
    /// Advertisers, newest first: an advertiser sees itself, a partner none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn advertisers(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Advertiser>, Failure> {
        let request = page_request(ctx, List::Advertisers, first, after)?;
        let page = read_store(advertisers::list(pool(ctx), caller(ctx)?.scope(), &request)).await?;
        Ok(connection(List::Advertisers, &request, page))
    }
}

#[derive(Default)]
pub struct AdvertiserMutations;

#[Object]
impl AdvertiserMutations {
    /// Makes a new advertiser. Owners only.
    async fn create_advertiser(
        &self,
        ctx: &Context<'_>,
        input: CreateAdvertiserInput,
    ) -> Result<Advertiser, Failure> {
        let actor = owner(ctx)?.into();
        Ok(change(ctx, advertisers::create(pool(ctx), actor, &input.name)).await?.into())
    }

    /// Changes the name or the attribution window. Owners only.
    async fn update_advertiser(
        &self,
        ctx: &Context<'_>,
        input: UpdateAdvertiserInput,
    ) -> Result<Advertiser, Failure> {
        let actor = owner(ctx)?.into();
        let id = AdvertiserId(uuid_at("input.advertiserId", &input.advertiser_id)?);
        let wanted = AdvertiserChange {
            name: input.name,
            attribution_window_hours: input.attribution_window_hours.into(),
        };
        Ok(change(ctx, advertisers::update(pool(ctx), actor, id, &wanted)).await?.into())
    }
}
