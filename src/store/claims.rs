//! Claims that nobody will end: finding them, and taking them back.
//!
//! No index leads to claims, since every delivery would pass through it. So they are looked for by
//! reading the table from its beginning to its end, in steps that are short whatever its length, and
//! what was found is taken by its key. A claim is never moved by anybody but its holder: each that
//! stood when the reading began, and stands when it ends, is found.

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::deliveries::{Abandoned, Fence, read_abandoned};
use super::error::StoreError;
use super::log_batches;
use super::session::Session;
use crate::domain::ids::{DeliveryId, NodeId};
use crate::event_log::rows::{AttemptRow, encode};

/// Blocks of the table that one statement reads: 64 MB, or a quarter of a million deliveries.
const STEP_BLOCKS: i64 = 8_192;
/// Most claims taken over in one transaction.
pub const TAKE_LIMIT: usize = 2_000;

/// One reading of the table, step by step.
#[derive(Debug)]
pub struct Sweep {
    next_block: i64,
    end: i64,
}

/// A range of blocks.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    from: i64,
    to: i64,
}

impl Sweep {
    /// Reads the table as long as it is now.
    pub async fn begin(pool: &Pool) -> Result<Self, StoreError> {
        let length = "SELECT pg_relation_size('deliveries') / current_setting('block_size')::bigint";
        let client = pool.get().await?;
        let statement = client.prepare_cached(length).await?;
        Ok(Self { next_block: 0, end: client.query_one(&statement, &[]).await?.get(0) })
    }
}

impl Iterator for Sweep {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let from = self.next_block;
        self.next_block += STEP_BLOCKS;
        (from < self.end).then_some(Step { from, to: self.next_block })
    }
}

/// Whose claims are abandoned.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// All that these nodes have claimed.
    pub dead: &'a [NodeId],
    pub lapsed: Lapsed,
}

/// Whether claims that have lapsed are abandoned, whoever holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapsed {
    Too,
    No,
}

fn ids_of(nodes: &[NodeId]) -> Vec<Uuid> {
    nodes.iter().map(|node| node.0).collect()
}

/// The abandoned claims of one step.
pub async fn find_abandoned(
    pool: &Pool,
    step: Step,
    sought: Sought<'_>,
) -> Result<Vec<DeliveryId>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("queries/find_abandoned.sql")).await?;
    let (dead, lapsed) = (ids_of(sought.dead), sought.lapsed == Lapsed::Too);
    let rows = client.query(&statement, &[&step.from, &step.to, &dead, &lapsed]).await?;
    Ok(rows.iter().map(|row| DeliveryId(row.get(0))).collect())
}

/// Takes `found` over, at most [`TAKE_LIMIT`] of them, as far as they still are abandoned: a node
/// whose lease is renewed again keeps what it has. They are due at once, and the attempts that
/// nobody recorded are logged. Returns what was taken, but for deliveries of events that this node does
/// not know.
pub async fn take_over(
    pool: &Pool,
    found: &[DeliveryId],
    sought: Sought<'_>,
    mut describe: impl AsyncFnMut(&Abandoned) -> AttemptRow,
) -> Result<Vec<Abandoned>, StoreError> {
    let found: Vec<Uuid> = found.iter().map(|id| id.0).collect();
    let (dead, lapsed) = (ids_of(sought.dead), sought.lapsed == Lapsed::Too);
    let session = Session::checkout(pool).await?;
    let take = session.prepare_cached(include_str!("queries/take_over_deliveries.sql")).await?;
    let insert_log = log_batches::prepare_insert(&session).await?;
    session.batch_execute("BEGIN").await?;
    let rows = session.query(&take, &[&found, &dead, &lapsed]).await?;
    let abandoned = read_abandoned(&rows);
    let mut log_rows = Vec::with_capacity(abandoned.len());
    for one in &abandoned {
        log_rows.push(describe(one).await);
    }
    let log_batch = encode(log_rows);
    log_batches::insert(&session, &insert_log, log_batch.as_slice()).await?;
    session.commit().await?;
    session.give_back();
    Ok(abandoned)
}

/// What `node` has claimed with one of these fences.
pub async fn find_fenced(
    pool: &Pool,
    node: NodeId,
    fences: &[Fence],
) -> Result<Vec<(DeliveryId, Fence)>, StoreError> {
    let mut found = Vec::new();
    for step in Sweep::begin(pool).await? {
        let client = pool.get().await?;
        let statement = client
            .prepare_cached(
                "SELECT delivery_id, fence FROM deliveries
                 WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
                   AND claimed_by = $3 AND fence = ANY($4)",
            )
            .await?;
        let rows = client.query(&statement, &[&step.from, &step.to, &node.0, &fences]).await?;
        found.extend(rows.iter().map(|row| (DeliveryId(row.get(0)), row.get(1))));
    }
    Ok(found)
}

/// Whether `node` has claimed anything.
pub async fn any_of(pool: &Pool, node: NodeId) -> Result<bool, StoreError> {
    let sought = Sought { dead: &[node], lapsed: Lapsed::No };
    for step in Sweep::begin(pool).await? {
        if !find_abandoned(pool, step, sought).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
