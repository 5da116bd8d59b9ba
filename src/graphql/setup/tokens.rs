//! Tokens of this API.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, forbidden, pool, writer};
use super::viewer::{Role, narrowed_to};
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::paging::{List, Page};
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::scope::Grant;
use crate::graphql::types::{LogConnection, connection};
use crate::store::tokens::{self, CreateTokenError, Revocation, Token as TokenRecord};

/// A token of this API; its secret is shown once, when it is made.
#[derive(SimpleObject)]
pub struct Token {
    token_id: ID,
    role: Role,
    advertiser_id: Option<ID>,
    partner_id: Option<ID>,
    label: String,
    created_at: Time,
    /// Null while it is live.
    revoked_at: Option<Time>,
}

impl From<TokenRecord> for Token {
    fn from(record: TokenRecord) -> Self {
        let (advertiser_id, partner_id) = narrowed_to(record.grant.scope());
        Self {
            token_id: record.token_id.into(),
            role: record.grant.into(),
            advertiser_id,
            partner_id,
            label: record.label,
            created_at: record.created_at.into(),
            revoked_at: record.revoked_at.map(Time::from),
        }
    }
}

/// A new token with its secret.
#[derive(SimpleObject)]
pub struct CreatedToken {
    /// What stands in `Authorization: Bearer {secret}`. It is not kept and cannot be shown again.
    secret: String,
    token: Token,
}

#[derive(InputObject)]
struct CreateTokenInput {
    role: Role,
    /// Whose token it is, or what a BI token is narrowed to.
    advertiser_id: Option<ID>,
    partner_id: Option<ID>,
    /// A note for whoever reads the list.
    label: Option<String>,
}

impl From<CreateTokenError> for Failure {
    fn from(error: CreateTokenError) -> Self {
        match error {
            CreateTokenError::NobodyToNarrowTo { role } => Self::NotFound {
                field: format!("input.{role}Id"),
                message: format!("there is no such {role}; take the id of one there is"),
            },
            CreateTokenError::Store(error) => error.into(),
        }
    }
}

#[derive(Default)]
pub struct TokenQueries;

#[Object]
impl TokenQueries {
    /// Tokens without their secrets, newest first: an advertiser or partner sees those narrowed to
    /// itself, who reads only sees none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn tokens(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Token>, Failure> {
        let request = page_request(ctx, List::Tokens, first, after)?;
        let caller = caller(ctx)?;
        let page = match caller.grant {
            Grant::Bi(_) => Page::empty(),
            _ => read_store(tokens::list_in(pool(ctx), caller.scope(), &request)).await?,
        };
        Ok(connection(List::Tokens, &request, page))
    }
}

#[derive(Default)]
pub struct TokenMutations;

#[Object]
impl TokenMutations {
    /// Makes a token. Nobody grants more than they have: an owner makes any, an advertiser or
    /// partner those of its own role and BI tokens narrowed to itself.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        input: CreateTokenInput,
    ) -> Result<CreatedToken, Failure> {
        let caller = writer(ctx)?;
        let id = |field: &str, id: Option<&ID>| id.map(|id| uuid_at(field, id)).transpose();
        let advertiser = id("input.advertiserId", input.advertiser_id.as_ref())?;
        let partner = id("input.partnerId", input.partner_id.as_ref())?;
        let grant = Grant::from_columns(input.role.code(), advertiser, partner).ok_or_else(|| {
            let message = "an advertiser's token needs advertiserId alone, a partner's partnerId alone, an \
                           owner's neither, a BI token one at most";
            Failure::bad_input("input.role", message)
        })?;
        if !caller.grant.may_grant(grant) {
            return Err(forbidden(caller.grant, "somebody who has as much to give"));
        }
        let label = input.label.unwrap_or_default();
        if label.chars().count() > 255 || label.chars().any(char::is_control) {
            let message = "write at most 255 characters, without line breaks";
            return Err(Failure::bad_input("input.label", message));
        }
        let created = read_store(tokens::create_as(pool(ctx), caller.into(), grant, label.trim())).await?;
        Ok(CreatedToken { secret: created.secret, token: created.token.into() })
    }

    /// Revokes a token for good; a repeat changes nothing. Answers its id.
    async fn revoke_token(&self, ctx: &Context<'_>, token_id: ID) -> Result<ID, Failure> {
        let caller = writer(ctx)?;
        let id = uuid_at("tokenId", &token_id)?;
        let revoking = tokens::revoke_as(pool(ctx), caller.into(), caller.scope(), id);
        match read_store(revoking).await? {
            Revocation::Revoked | Revocation::RevokedBefore => Ok(id.into()),
            Revocation::NoSuchToken => Err(Failure::NotFound {
                field: "tokenId".into(),
                message: "there is no such token; the query tokens lists those there are".into(),
            }),
        }
    }
}
