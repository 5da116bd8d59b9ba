//! Log rows on their way to ClickHouse: written with the state they describe, gathered into
//! shipments, removed once ClickHouse has them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;
use crate::domain::ids::NodeId;
use crate::event_log::rows::{EncodedBatch, Log};

pub async fn prepare_insert(session: &Session) -> Result<Statement, tokio_postgres::Error> {
    session
        .prepare_cached(
            "INSERT INTO log_batches (log, row_count, payload)
             SELECT * FROM unnest($1::text[], $2::int[], $3::bytea[])",
        )
        .await
}

/// Adds batches inside the caller's transaction.
pub async fn insert(
    session: &Session,
    statement: &Statement,
    batches: &[EncodedBatch],
) -> Result<(), StoreError> {
    let logs: Vec<&str> = batches.iter().map(|batch| batch.log.table()).collect();
    let counts: Vec<i32> =
        batches.iter().map(|batch| i32::try_from(batch.row_count).unwrap_or(i32::MAX)).collect();
    let payloads: Vec<&[u8]> = batches.iter().map(|batch| batch.payload.as_slice()).collect();
    session.execute(statement, &[&logs, &counts, &payloads]).await?;
    Ok(())
}

/// How many rows of a log, written before a time, are not in ClickHouse yet.
pub async fn rows_before(pool: &Pool, log: Log, time: DateTime<Utc>) -> Result<u64, StoreError> {
    let row = pool
        .get()
        .await?
        .query_one(
            "SELECT coalesce(sum(row_count), 0) FROM log_batches WHERE log = $1 AND created_at < $2",
            &[&log.table(), &time],
        )
        .await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Batches that go to ClickHouse together, under one deduplication token: `shipment_id`.
#[derive(Debug)]
pub struct Shipment {
    pub shipment_id: Uuid,
    pub log: Log,
    pub row_count: usize,
    pub payloads: Vec<Vec<u8>>,
    /// Whether more may be waiting behind it.
    pub is_full: bool,
}

/// Most batches and rows of one shipment: about 30 MB before compression.
const SHIPMENT_BATCHES: i64 = 2_000;
const SHIPMENT_ROWS: i64 = 20_000;

/// Forms the next shipment of a log, or takes over one whose shipper is dead or has let its
/// lease lapse.
/// What a shipment holds is fixed before it is sent, so that sending it again is the same
/// insert to ClickHouse.
pub async fn claim_shipment(
    pool: &Pool,
    node: NodeId,
    log: Log,
    lease: Duration,
) -> Result<Option<Shipment>, StoreError> {
    let lease_s = lease.as_secs_f64();
    let session = Session::checkout(pool).await?;
    session.batch_execute("BEGIN").await?;
    let lapsed = session
        .query_opt(
            "UPDATE log_shipments SET lease_until = now() + make_interval(secs => $2), shipped_by = $3
             WHERE shipment_id = (
                 SELECT shipment_id FROM log_shipments
                 WHERE log = $1
                   AND (refused_until IS NULL OR refused_until < now())
                   AND (lease_until < now()
                        -- One shipper a node, one shipment at a time: this one was given up.
                        OR shipped_by = $3
                        OR NOT EXISTS (SELECT 1 FROM nodes
                                       WHERE node_id = shipped_by AND nodes.lease_until >= now()))
                 ORDER BY shipment_id LIMIT 1 FOR UPDATE SKIP LOCKED
             )
             RETURNING shipment_id",
            &[&log.table(), &lease_s, &node.0],
        )
        .await?;
    let is_taken_over = lapsed.is_some();
    let shipment_id: Uuid = match lapsed {
        Some(row) => row.get(0),
        None => {
            let shipment_id = Uuid::now_v7();
            let formed = session
                .execute(
                    "WITH waiting AS (
                         SELECT batch_id, sum(row_count) OVER (ORDER BY batch_id) - row_count AS rows_before
                         FROM (
                             SELECT batch_id, row_count FROM log_batches
                             WHERE log = $1 AND shipment_id IS NULL
                             ORDER BY batch_id LIMIT $3 FOR UPDATE SKIP LOCKED
                         ) AS oldest
                     )
                     UPDATE log_batches SET shipment_id = $2
                     FROM waiting
                     WHERE log_batches.batch_id = waiting.batch_id AND waiting.rows_before < $4",
                    &[&log.table(), &shipment_id, &SHIPMENT_BATCHES, &SHIPMENT_ROWS],
                )
                .await?;
            if formed == 0 {
                session.batch_execute("ROLLBACK").await?;
                session.give_back();
                return Ok(None);
            }
            session
                .execute(
                    "INSERT INTO log_shipments (shipment_id, log, shipped_by, lease_until)
                     VALUES ($1, $2, $4, now() + make_interval(secs => $3))",
                    &[&shipment_id, &log.table(), &lease_s, &node.0],
                )
                .await?;
            shipment_id
        }
    };
    let rows = session
        .query(
            "SELECT row_count, payload FROM log_batches WHERE shipment_id = $1 ORDER BY batch_id",
            &[&shipment_id],
        )
        .await?;
    session.commit().await?;
    session.give_back();
    let row_count: i64 = rows.iter().map(|row| i64::from(row.get::<_, i32>(0))).sum();
    let payloads: Vec<Vec<u8>> = rows.iter().map(|row| row.get(1)).collect();
    let is_full =
        is_taken_over || row_count >= SHIPMENT_ROWS || i64::try_from(payloads.len()) == Ok(SHIPMENT_BATCHES);
    let row_count = usize::try_from(row_count).unwrap_or(0);
    Ok(Some(Shipment { shipment_id, log, row_count, payloads, is_full }))
}

/// Removes a shipment that ClickHouse has confirmed.
pub async fn finish_shipment(pool: &Pool, shipment_id: Uuid) -> Result<(), StoreError> {
    let session = Session::checkout(pool).await?;
    session.batch_execute("BEGIN").await?;
    session.execute("DELETE FROM log_batches WHERE shipment_id = $1", &[&shipment_id]).await?;
    session.execute("DELETE FROM log_shipments WHERE shipment_id = $1", &[&shipment_id]).await?;
    session.commit().await?;
    session.give_back();
    Ok(())
}

/// Puts a shipment that ClickHouse refused aside for a while, so that later ones go past it.
pub async fn put_aside(pool: &Pool, shipment_id: Uuid, pause: Duration) -> Result<(), StoreError> {
    let client = pool.get().await?;
    client
        .execute(
            "UPDATE log_shipments SET refused_until = now() + make_interval(secs => $2) WHERE shipment_id = $1",
            &[&shipment_id, &pause.as_secs_f64()],
        )
        .await?;
    Ok(())
}

/// How much waits to be shipped, and since when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backlog {
    pub rows: i64,
    pub oldest: Option<DateTime<Utc>>,
}

pub async fn backlog(pool: &Pool) -> Result<Backlog, StoreError> {
    let row = pool
        .get()
        .await?
        .query_one("SELECT coalesce(sum(row_count), 0)::bigint, min(created_at) FROM log_batches", &[])
        .await?;
    Ok(Backlog { rows: row.get(0), oldest: row.get(1) })
}
