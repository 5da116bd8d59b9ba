//! Log rows on their way to ClickHouse: written with the state they describe, gathered into
//! shipments, removed once ClickHouse has them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Pool};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::error::StoreError;
use super::session::Session;
use crate::domain::ids::NodeId;
use crate::event_log::rows::{EncodedBatch, Log};

/// First half of the advisory lock under which shipments of a log are formed.
const FORMING_LOCK: i32 = 0x5348_4950;

/// Between looks whether the last shipment under way has arrived.
const SHIPMENT_CHECK: Duration = Duration::from_millis(50);

pub async fn prepare_insert(session: &Session) -> Result<Statement, tokio_postgres::Error> {
    session.prepare_cached(INSERT).await
}

const INSERT: &str = "INSERT INTO log_batches (log, row_count, payload)
                      SELECT * FROM unnest($1::text[], $2::int[], $3::bytea[])";

/// Adds a batch inside the caller's transaction, where that is no [`Session`].
pub async fn insert_within(client: &impl GenericClient, batch: &EncodedBatch) -> Result<(), StoreError> {
    let statement = client.prepare_cached(INSERT).await?;
    let rows = i32::try_from(batch.row_count).unwrap_or(i32::MAX);
    let (logs, rows, payloads) = ([batch.log.table()], [rows], [batch.payload.as_slice()]);
    client.execute(&statement, &[&&logs[..], &&rows[..], &&payloads[..]]).await?;
    Ok(())
}

/// Adds batches inside the caller's transaction.
pub async fn insert(
    session: &Session,
    statement: &Statement,
    batches: &[EncodedBatch],
) -> Result<(), StoreError> {
    if batches.is_empty() {
        return Ok(());
    }
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
    /// Ascending.
    pub batch_ids: Vec<i64>,
    pub payloads: Vec<Vec<u8>>,
    /// Whether more may be waiting behind it.
    pub is_full: bool,
}

/// Most batches and rows of one shipment: about 30 MB before compression.
const SHIPMENT_BATCHES: i64 = 2_000;
const SHIPMENT_ROWS: i64 = 20_000;

/// How far the numbers of batches that are being written now lie behind the last one, usually.
const NUMBERS_UNDER_WAY: i64 = 10_000;

/// Every batch up to this number has been written; but for stragglers.
pub async fn horizon(pool: &Pool) -> Result<i64, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached("SELECT coalesce(pg_sequence_last_value('log_batches_batch_id_seq'), 0)")
        .await?;
    let last: i64 = client.query_one(&statement, &[]).await?.get(0);
    Ok(last - NUMBERS_UNDER_WAY)
}

/// Takes over a shipment whose shipper is dead or has let its lease lapse, or forms the next one
/// of a log; of batches after `from`, both. What a shipment holds is fixed before it is sent, so that
/// sending it again is the same insert to ClickHouse.
pub async fn claim_shipment(
    pool: &Pool,
    node: NodeId,
    log: Log,
    lease: Duration,
    from: Option<i64>,
) -> Result<Option<Shipment>, StoreError> {
    let lease_s = lease.as_secs_f64();
    let session = Session::checkout(pool).await?;
    // One former of a log's shipments at a time, over all nodes.
    let lock = format!("BEGIN; SELECT pg_advisory_xact_lock({FORMING_LOCK}, {})", log as i32);
    session.batch_execute(&lock).await?;
    let take_over = session.prepare_cached(include_str!("queries/take_over_shipment.sql")).await?;
    let from = from.unwrap_or(i64::MIN);
    let taken_over = session.query_opt(&take_over, &[&log.table(), &lease_s, &node.0, &from]).await?;
    let is_taken_over = taken_over.is_some();
    let claimed = match taken_over {
        Some(row) => Some(row),
        None => {
            let form = session.prepare_cached(include_str!("queries/form_shipment.sql")).await?;
            let id = Uuid::now_v7();
            let bounds: [&(dyn ToSql + Sync); 3] = [&from, &SHIPMENT_BATCHES, &SHIPMENT_ROWS];
            let [from, batches, rows] = bounds;
            session.query_opt(&form, &[&log.table(), &id, &node.0, &lease_s, from, batches, rows]).await?
        }
    };
    let Some(claimed) = claimed else {
        session.batch_execute("ROLLBACK").await?;
        session.give_back();
        return Ok(None);
    };
    session.commit().await?;
    let batch_ids: Vec<i64> = claimed.get("batch_ids");
    let read = session
        .prepare_cached(
            "SELECT row_count, payload FROM log_batches WHERE batch_id = ANY($1) ORDER BY batch_id",
        )
        .await?;
    let rows = session.query(&read, &[&batch_ids]).await?;
    session.give_back();
    let row_count: i64 = rows.iter().map(|row| i64::from(row.get::<_, i32>(0))).sum();
    let payloads: Vec<Vec<u8>> = rows.iter().map(|row| row.get(1)).collect();
    let is_full =
        is_taken_over || row_count >= SHIPMENT_ROWS || i64::try_from(payloads.len()) == Ok(SHIPMENT_BATCHES);
    let row_count = usize::try_from(row_count).unwrap_or(0);
    let shipment_id = claimed.get("shipment_id");
    Ok(Some(Shipment { shipment_id, log, row_count, batch_ids, payloads, is_full }))
}

/// A log of which no node forms or takes over shipments.
#[derive(Debug)]
#[must_use]
pub struct Held(Log);

/// Keeps every node from sending a log, and waits for those shipments that are under way. Rows
/// wait in PostgreSQL meanwhile. Lasts until `release_shipments`, or the end of the session.
pub async fn hold_shipments(client: &Client, log: Log) -> Result<Held, tokio_postgres::Error> {
    client.execute("SELECT pg_advisory_lock($1, $2)", &[&FORMING_LOCK, &(log as i32)]).await?;
    let under_way = "SELECT EXISTS (SELECT FROM log_shipments WHERE log = $1 AND lease_until > now())";
    while client.query_one(under_way, &[&log.table()]).await?.get(0) {
        tokio::time::sleep(SHIPMENT_CHECK).await;
    }
    Ok(Held(log))
}

/// Lets a log be sent again.
pub async fn release_shipments(client: &Client, held: Held) -> Result<(), tokio_postgres::Error> {
    client.execute("SELECT pg_advisory_unlock($1, $2)", &[&FORMING_LOCK, &(held.0 as i32)]).await?;
    Ok(())
}

/// Removes a shipment that ClickHouse has confirmed. Attempts are kept a little longer where a node
/// follows them live: see [`super::log_tails`].
pub async fn finish_shipment(pool: &Pool, shipment: &Shipment) -> Result<(), StoreError> {
    let session = Session::checkout(pool).await?;
    let remove = session.prepare_cached(include_str!("queries/remove_shipped_batches.sql")).await?;
    session.batch_execute("BEGIN").await?;
    session.execute(&remove, &[&shipment.batch_ids]).await?;
    session.execute("DELETE FROM log_shipments WHERE shipment_id = $1", &[&shipment.shipment_id]).await?;
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
