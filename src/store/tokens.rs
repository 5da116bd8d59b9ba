//! Tokens of the GraphQL API: made once, kept as a hash, found by it, revoked for good.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rand::Rng;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::catalogue::hash_key;
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

/// Makes a token from 32 random bytes.
pub async fn create(pool: &Pool, grant: Grant, label: &str) -> Result<NewToken, CreateTokenError> {
    let secret = random_secret();
    let (advertiser_id, partner_id) = match grant.scope() {
        Scope::Everything => (None, None),
        Scope::Advertiser(id) => (Some(id.0), None),
        Scope::Partner(id) => (None, Some(id.0)),
    };
    let client = pool.get().await.map_err(StoreError::from)?;
    let inserted = client
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

pub async fn revoke(pool: &Pool, token_id: Uuid) -> Result<Revocation, StoreError> {
    let client = pool.get().await?;
    let revoked = client
        .execute(
            "UPDATE tokens SET revoked_at = now() WHERE token_id = $1 AND revoked_at IS NULL",
            &[&token_id],
        )
        .await?;
    if revoked > 0 {
        return Ok(Revocation::Revoked);
    }
    let known = client.query_opt("SELECT 1 FROM tokens WHERE token_id = $1", &[&token_id]).await?;
    Ok(if known.is_some() { Revocation::RevokedBefore } else { Revocation::NoSuchToken })
}

fn random_secret() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().fold(TOKEN_PREFIX.to_owned(), |text, byte| format!("{text}{byte:02x}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, other) = (random_secret(), random_secret());
        assert_eq!(one.len(), TOKEN_PREFIX.len() + 64);
        assert!(one.starts_with(TOKEN_PREFIX));
        assert_ne!(one, other);
    }
}
