//! API keys of advertisers.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, forbidden, pool};
use crate::domain::ids::AdvertiserId;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::{self, uuid_at};
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::scope::Grant;
use crate::graphql::types::{LogConnection, connection};
use crate::store::setup::api_keys::{self, ApiKeyRecord};

/// A key an advertiser reports conversions with; the key itself is shown once, when it is made.
#[derive(SimpleObject)]
pub struct ApiKey {
    api_key_id: ID,
    advertiser_id: ID,
    label: String,
    created_at: Time,
    /// Null while it is live.
    revoked_at: Option<Time>,
}

impl From<ApiKeyRecord> for ApiKey {
    fn from(record: ApiKeyRecord) -> Self {
        Self {
            api_key_id: record.api_key_id.into(),
            advertiser_id: record.advertiser_id.into(),
            label: record.label,
            created_at: record.created_at.into(),
            revoked_at: record.revoked_at.map(Time::from),
        }
    }
}

/// A new key with its secret.
#[derive(SimpleObject)]
pub struct CreatedApiKey {
    /// The key. It is not kept and cannot be shown again.
    secret: String,
    api_key: ApiKey,
}

/// Which keys. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
struct ApiKeysFilter {
    advertiser_ids: Option<Vec<ID>>,
}

#[derive(InputObject)]
struct CreateApiKeyInput {
    /// Whose key it is; an advertiser may leave it out.
    advertiser_id: Option<ID>,
    /// A note for whoever reads the list.
    label: Option<String>,
}

#[derive(Default)]
pub struct ApiKeyQueries;

#[Object]
impl ApiKeyQueries {
    /// API keys without their secrets, newest first: an advertiser sees its own, a partner none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        filter: Option<ApiKeysFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<ApiKey>, Failure> {
        let request = page_request(ctx, List::ApiKeys, first, after)?;
        let filter = filter.unwrap_or_default();
        let advertisers = filter::uuids("advertiserIds", filter.advertiser_ids.as_deref())?;
        let page = read_store(api_keys::list(pool(ctx), caller(ctx)?.scope(), advertisers, &request)).await?;
        Ok(connection(List::ApiKeys, &request, page))
    }
}

#[derive(Default)]
pub struct ApiKeyMutations;

#[Object]
impl ApiKeyMutations {
    /// Makes an API key. Two may be live at once, so that one can replace the other without a gap.
    /// An advertiser makes its own, an owner anyone's.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        input: CreateApiKeyInput,
    ) -> Result<CreatedApiKey, Failure> {
        let caller = caller(ctx)?;
        let named = input.advertiser_id.as_ref().map(|id| uuid_at("input.advertiserId", id)).transpose()?;
        let advertiser = match (caller.grant, named) {
            (Grant::Owner, Some(id)) => AdvertiserId(id),
            (Grant::Owner, None) => {
                return Err(Failure::bad_input("input.advertiserId", "say whose key it is to be"));
            }
            (Grant::Advertiser(own), None) => own,
            (Grant::Advertiser(own), Some(id)) if own.0 == id => own,
            (Grant::Advertiser(_), Some(_)) => {
                let message = "there is no such advertiser; leave it out for a key of your own".into();
                return Err(Failure::NotFound { field: "input.advertiserId".into(), message });
            }
            (grant @ (Grant::Partner(_) | Grant::Bi(_)), _) => {
                return Err(forbidden(grant, "an owner or advertiser"));
            }
        };
        let label = input.label.unwrap_or_default();
        let created = change(ctx, api_keys::create(pool(ctx), caller.into(), advertiser, &label)).await?;
        Ok(CreatedApiKey { secret: created.secret, api_key: created.record.into() })
    }

    /// Revokes an API key for good. An advertiser revokes its own, an owner anyone's.
    async fn revoke_api_key(&self, ctx: &Context<'_>, api_key_id: ID) -> Result<ApiKey, Failure> {
        let caller = caller(ctx)?;
        if let grant @ (Grant::Partner(_) | Grant::Bi(_)) = caller.grant {
            return Err(forbidden(grant, "an owner or advertiser"));
        }
        let id = uuid_at("apiKeyId", &api_key_id)?;
        Ok(change(ctx, api_keys::revoke(pool(ctx), caller.into(), caller.scope(), id)).await?.into())
    }
}
