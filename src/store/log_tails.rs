//! Batches of attempts as the live tail sees them: those that wait for ClickHouse, and those that
//! went there in the last minutes while any node followed the log.
//!
//! ```text
//! log_batches ── shipped ──► (a tail's lease lives?) ── yes ──► recent_log_batches ── KEPT ──► gone
//!                                      └────────────── no ───────────────────────────────────► gone
//! ```
//!
//! A batch is in exactly one of the two tables at any instant, so one statement over both sees
//! each batch once. A batch committed after a lease cannot be removed without that lease being seen.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;

use super::error::StoreError;
use super::session::Session;
use crate::domain::ids::NodeId;

/// How long a shipped batch is kept for the tails.
pub const KEPT: Duration = Duration::from_secs(180);
/// How long a node counts as following after it last said so. A client of a node that died finds
/// everything on another for as long.
pub const LEASE: Duration = Duration::from_secs(60);

/// How far the numbers of batches that are being written now lie behind the last one, usually.
const NUMBERS_UNDER_WAY: i64 = 10_000;

/// One batch of attempts.
#[derive(Debug)]
pub struct TailBatch {
    pub batch_id: i64,
    pub created_at: DateTime<Utc>,
    /// As [`crate::event_log::rows::encode`] wrote it.
    pub payload: Vec<u8>,
}

/// Says that this node follows the log for [`LEASE`] from now.
pub async fn renew(pool: &Pool, node: NodeId) -> Result<(), StoreError> {
    let statement = "INSERT INTO log_tails (node_id, lease_until) VALUES ($1, now() + make_interval(secs => $2)) \
                     ON CONFLICT (node_id) DO UPDATE SET lease_until = EXCLUDED.lease_until";
    pool.get().await?.execute(statement, &[&node.0, &LEASE.as_secs_f64()]).await?;
    Ok(())
}

/// Says that this node follows no more.
pub async fn leave(pool: &Pool, node: NodeId) -> Result<(), StoreError> {
    pool.get().await?.execute("DELETE FROM log_tails WHERE node_id = $1", &[&node.0]).await?;
    Ok(())
}

/// What is there when a node begins to follow: the number that all later batches pass, but for
/// those in the list and those being written.
#[derive(Debug)]
pub struct Beginning {
    pub floor: i64,
    pub batch_ids: Vec<i64>,
}

pub async fn beginning(pool: &Pool) -> Result<Beginning, StoreError> {
    let session = Session::checkout(pool).await?;
    let last = "SELECT coalesce(pg_sequence_last_value('log_batches_batch_id_seq'), 0)";
    let floor = session.query_one(last, &[]).await?.get::<_, i64>(0) - NUMBERS_UNDER_WAY;
    let statement = "SELECT batch_id FROM log_batches WHERE log = 'attempts' AND batch_id > $1 \
                     UNION ALL SELECT batch_id FROM recent_log_batches WHERE batch_id > $1";
    let rows = session.query(statement, &[&floor]).await?;
    session.give_back();
    Ok(Beginning { floor, batch_ids: rows.iter().map(|row| row.get(0)).collect() })
}

/// Up to `limit` batches past `floor` that are not among `seen`, in the order of their numbers.
pub async fn unseen(pool: &Pool, floor: i64, seen: &[i64], limit: i64) -> Result<Vec<TailBatch>, StoreError> {
    let session = Session::checkout(pool).await?;
    let statement = session.prepare_cached(include_str!("queries/unseen_log_batches.sql")).await?;
    let rows = session.query(&statement, &[&floor, &seen, &limit]).await?;
    session.give_back();
    Ok(rows
        .iter()
        .map(|row| TailBatch { batch_id: row.get(0), created_at: row.get(1), payload: row.get(2) })
        .collect())
}

/// The numbers of batches written since `since` that ClickHouse may not have had `ago` ago: those
/// that wait, and those shipped since then.
pub async fn not_surely_shipped(
    pool: &Pool,
    since: DateTime<Utc>,
    ago: Duration,
) -> Result<Vec<i64>, StoreError> {
    let session = Session::checkout(pool).await?;
    let statement = "SELECT batch_id FROM log_batches WHERE log = 'attempts' AND created_at >= $1 \
                     UNION ALL SELECT batch_id FROM recent_log_batches WHERE created_at >= $1 AND shipped_at >= now() - make_interval(secs => $2) \
                     ORDER BY batch_id";
    let rows = session.query(statement, &[&since, &ago.as_secs_f64()]).await?;
    session.give_back();
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// These batches, in the order of their numbers; those that are gone are left out.
pub async fn read(pool: &Pool, batch_ids: &[i64]) -> Result<Vec<TailBatch>, StoreError> {
    let session = Session::checkout(pool).await?;
    let statement = session
        .prepare_cached(
            "SELECT batch_id, created_at, payload FROM log_batches WHERE batch_id = ANY($1) \
             UNION ALL SELECT batch_id, created_at, payload FROM recent_log_batches WHERE batch_id = ANY($1) \
             ORDER BY batch_id",
        )
        .await?;
    let rows = session.query(&statement, &[&batch_ids]).await?;
    session.give_back();
    Ok(rows
        .iter()
        .map(|row| TailBatch { batch_id: row.get(0), created_at: row.get(1), payload: row.get(2) })
        .collect())
}

/// Removes what was kept long enough.
pub async fn forget(pool: &Pool) -> Result<(), StoreError> {
    let client = pool.get().await?;
    let statement = "DELETE FROM recent_log_batches WHERE shipped_at < now() - make_interval(secs => $1)";
    client.execute(statement, &[&KEPT.as_secs_f64()]).await?;
    client.execute("DELETE FROM log_tails WHERE lease_until < now() - interval '1 hour'", &[]).await?;
    Ok(())
}
