//! Tokens of the GraphQL API: made once, kept as a hash, found by it, revoked for good.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::audit::{self, Actor, Entity};
use super::error::StoreError;
use super::network::random_secret;
use super::search::{Columns, Search, page};
use crate::domain::catalogue::hash_key;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::{Grant, Principal, Scope};

/// What a token begins with, so that people and secret scanners know one when they see it.
pub const TOKEN_PREFIX: &str = "rt_";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub token_id: Uuid,
    pub grant: Grant,
    pub label: String,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A token with its secret, which is nowhere else and cannot be shown again.
#[derive(Debug)]
pub struct NewToken {
    pub token: Token,
    pub secret: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    #[error("there is no such {role}; make the {role} first, or take the id of one there is")]
    NobodyToNarrowTo { role: &'static str },
    #[error("the token could not be stored")]
    Store(#[from] StoreError),
}

const COLUMNS: &str = "token_id, role, advertiser_id, partner_id, label, created_at, revoked_at";

/// Who a bearer token belongs to; `None` where it is nobody's or was revoked. The look-up is by
/// hash, so its timing tells nothing about the token.
pub async fn find_live(pool: &Pool, bearer: &str) -> Result<Option<Principal>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT token_id, role, advertiser_id, partner_id FROM tokens \
             WHERE token_hash = $1 AND revoked_at IS NULL",
        )
        .await?;
    let row = client.query_opt(&statement, &[&hash_key(bearer).as_slice()]).await?;
    let Some(row) = row else { return Ok(None) };
    let grant = grant_of(&row)?;
    Ok(grant.map(|grant| Principal { token_id: row.get("token_id"), grant }))
}

/// Those of these tokens that are good still.
pub async fn still_live(pool: &Pool, token_ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached("SELECT token_id FROM tokens WHERE token_id = ANY($1) AND revoked_at IS NULL")
        .await?;
    let rows = client.query(&statement, &[&token_ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Makes a token of 256 random bits, for the command line and the demo.
pub async fn create(pool: &Pool, grant: Grant, label: &str) -> Result<NewToken, CreateTokenError> {
    create_as(pool, Actor::CommandLine, grant, label).await
}

/// Makes a token of 256 random bits. Whether `actor` may grant so much is the caller's concern.
pub async fn create_as(
    pool: &Pool,
    actor: Actor,
    grant: Grant,
    label: &str,
) -> Result<NewToken, CreateTokenError> {
    let secret = random_secret(TOKEN_PREFIX);
    let (advertiser_id, partner_id) = narrowed(grant.scope());
    let mut client = pool.get().await.map_err(StoreError::from)?;
    let transaction = client.transaction().await.map_err(StoreError::from)?;
    let inserted = transaction
        .query_one(
            "INSERT INTO tokens (token_id, token_hash, role, advertiser_id, partner_id, label) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING token_id, created_at",
            &[
                &Uuid::now_v7(),
                &hash_key(&secret).as_slice(),
                &grant.role(),
                &advertiser_id,
                &partner_id,
                &label,
            ],
        )
        .await;
    match inserted {
        Ok(row) => {
            let token = Token {
                token_id: row.get("token_id"),
                grant,
                label: label.to_owned(),
                created_at: row.get("created_at"),
                revoked_at: None,
            };
            audit::record(&transaction, actor, Entity::Token, token.token_id, "create", None).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(NewToken { token, secret })
        }
        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
            let role = if advertiser_id.is_some() { "advertiser" } else { "partner" };
            Err(CreateTokenError::NobodyToNarrowTo { role })
        }
        Err(error) => Err(CreateTokenError::Store(error.into())),
    }
}

/// All tokens ever made, oldest first.
pub async fn list(pool: &Pool) -> Result<Vec<Token>, StoreError> {
    let statement = format!("SELECT {COLUMNS} FROM tokens ORDER BY created_at, token_id");
    let rows = pool.get().await?.query(&statement, &[]).await?;
    let tokens = rows.iter().map(token_of).collect::<Result<Vec<_>, _>>()?;
    Ok(tokens.into_iter().flatten().collect())
}

/// What a revocation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    Revoked,
    RevokedBefore,
    NoSuchToken,
}

/// Revokes any token, for the command line.
pub async fn revoke(pool: &Pool, token_id: Uuid) -> Result<Revocation, StoreError> {
    revoke_as(pool, Actor::CommandLine, Scope::Everything, token_id).await
}

/// Revokes a token of `scope`; another's does not exist.
pub async fn revoke_as(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    token_id: Uuid,
) -> Result<Revocation, StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let statement = "SELECT revoked_at FROM tokens WHERE token_id = $1 \
                     AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3) \
                     FOR UPDATE";
    let (advertiser_id, partner_id) = narrowed(scope);
    let Some(row) = transaction.query_opt(statement, &[&token_id, &advertiser_id, &partner_id]).await? else {
        return Ok(Revocation::NoSuchToken);
    };
    if row.get::<_, Option<DateTime<Utc>>>(0).is_some() {
        return Ok(Revocation::RevokedBefore);
    }
    let before = audit::snapshot(&transaction, Entity::Token, token_id).await?;
    transaction.execute("UPDATE tokens SET revoked_at = now() WHERE token_id = $1", &[&token_id]).await?;
    audit::record(&transaction, actor, Entity::Token, token_id, "revoke", before).await?;
    transaction.commit().await?;
    Ok(Revocation::Revoked)
}

fn narrowed(scope: Scope) -> (Option<Uuid>, Option<Uuid>) {
    match scope {
        Scope::Everything => (None, None),
        Scope::Advertiser(id) => (Some(id.0), None),
        Scope::Partner(id) => (None, Some(id.0)),
    }
}

impl Positioned for Token {
    fn position(&self) -> Position {
        Position { time: self.created_at, id: self.token_id }
    }
}

/// Tokens narrowed to `scope`, newest first; the owner's scope holds all.
pub async fn list_in(pool: &Pool, scope: Scope, request: &PageRequest) -> Result<Page<Token>, StoreError> {
    const LIST: Columns = Columns { selected: COLUMNS, from: "tokens", time: "created_at", id: "token_id" };
    let mut search = Search::default();
    let (advertiser_id, partner_id) = narrowed(scope);
    search.compare("advertiser_id =", advertiser_id);
    search.compare("partner_id =", partner_id);
    page(pool, LIST, search, request, |row| {
        token_of(row)?
            .ok_or_else(|| StoreError::Unreadable("tokens: a role that does not fit its scope".into()))
    })
    .await
}

fn grant_of(row: &Row) -> Result<Option<Grant>, tokio_postgres::Error> {
    let role: &str = row.try_get("role")?;
    Ok(Grant::from_columns(role, row.try_get("advertiser_id")?, row.try_get("partner_id")?))
}

fn token_of(row: &Row) -> Result<Option<Token>, tokio_postgres::Error> {
    let Some(grant) = grant_of(row)? else { return Ok(None) };
    Ok(Some(Token {
        token_id: row.try_get("token_id")?,
        grant,
        label: row.try_get("label")?,
        created_at: row.try_get("created_at")?,
        revoked_at: row.try_get("revoked_at")?,
    }))
}
