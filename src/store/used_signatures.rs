//! Signatures of recorded requests, until they are stale anyway.

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;
use crate::domain::access::replay::{NewlyUsed, REMEMBERED_S, SignatureLedger};
use crate::domain::access::signature::UsedSignature;

pub async fn prepare_find(session: &Session) -> Result<Statement, tokio_postgres::Error> {
    session.prepare_cached("SELECT digest, exchange_id FROM used_signatures WHERE digest = ANY($1)").await
}

pub fn read(rows: &[Row]) -> Result<SignatureLedger, StoreError> {
    let mut ledger = SignatureLedger::default();
    for row in rows {
        let digest = row.get::<_, &[u8]>(0).try_into();
        let digest = digest.map_err(|_| StoreError::Unreadable("used_signatures.digest: length".into()))?;
        ledger.remember(digest, row.get(1));
    }
    Ok(ledger)
}

/// A signature that another transaction used up meanwhile violates the key, and the batch is
/// decided again; unless it was for another item of the same HTTP request, which is skipped.
pub async fn prepare_insert(session: &Session) -> Result<Statement, tokio_postgres::Error> {
    session
        .prepare_cached(
            "INSERT INTO used_signatures (digest, exchange_id, expires_at)
             SELECT digest, exchange_id, expires_at
             FROM unnest($1::bytea[], $2::uuid[], $3::timestamptz[]) AS item(digest, exchange_id, expires_at)
             WHERE NOT EXISTS (SELECT 1 FROM used_signatures AS used
                               WHERE used.digest = item.digest AND used.exchange_id = item.exchange_id)",
        )
        .await
}

/// Adds signatures inside the caller's transaction.
pub async fn insert(session: &Session, statement: &Statement, used: &[NewlyUsed]) -> Result<(), StoreError> {
    if used.is_empty() {
        return Ok(());
    }
    let digests: Vec<&[u8]> = used.iter().map(|signature| signature.digest.as_slice()).collect();
    let exchanges: Vec<Uuid> = used.iter().map(|signature| signature.exchange_id).collect();
    let expiries: Vec<DateTime<Utc>> = used
        .iter()
        .map(|signature| DateTime::from_timestamp(signature.expires_at, 0).unwrap_or(DateTime::UNIX_EPOCH))
        .collect();
    session.execute(statement, &[&digests, &exchanges, &expiries]).await?;
    Ok(())
}

/// Uses up the signatures of one request outside the batches of conversions. False where one of
/// them was used up before.
pub async fn use_up(
    transaction: &Transaction<'_>,
    exchange_id: Uuid,
    signatures: &[UsedSignature],
) -> Result<bool, StoreError> {
    for signature in signatures {
        let expires_at = DateTime::from_timestamp(signature.signed_at.saturating_add(REMEMBERED_S), 0);
        let use_up = "INSERT INTO used_signatures (digest, exchange_id, expires_at) VALUES ($1, $2, $3)
                      ON CONFLICT DO NOTHING";
        let expires_at = expires_at.unwrap_or(DateTime::UNIX_EPOCH);
        if transaction.execute(use_up, &[&signature.digest.as_slice(), &exchange_id, &expires_at]).await? == 0
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Forgets what is stale.
pub async fn forget_stale(pool: &Pool) -> Result<(), StoreError> {
    pool.get().await?.execute("DELETE FROM used_signatures WHERE expires_at < now()", &[]).await?;
    Ok(())
}
