//! The live tail: every new attempt of every node, to whoever follows the log, within two seconds
//! of its commit, and whether ClickHouse is there or not.
//!
//! ```text
//! any node's transaction ══ log_batches ─► LogShipper ─► recent_log_batches (while a lease lives)
//!                               └───────────┬──────────────────┘
//!                                           ▼ one poll a node, [`POLL`]
//!                                         Feed ── decodes once, asks each filter ─┬─► Queue ─► WebSocket
//!                                                                                 └─► Queue ─► WebSocket
//! ```
//!
//! Why PostgreSQL and not ClickHouse: rows come to ClickHouse late and out of the order of their
//! times, so no position in it is safe to go on from; and it may be away. A batch's number is not
//! the order of commits either, so the feed remembers which numbers it has seen near the end.
//!
//! * [`feed`]: the one reader of a node, and its followers.
//! * [`queue`]: what waits for one follower; full, it drops the oldest and counts them.
//! * [`history`]: what a follower sees first that asks for the past, without a gap or a double.

pub mod feed;
pub mod history;
pub mod queue;
mod seen;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::event_log::reader::AttemptRecord;
use crate::event_log::rows;
use crate::store::log_tails::TailBatch;

pub use feed::{Feed, Follower};
pub use history::Tail;

/// An attempt as the tail passes it on.
#[derive(Debug)]
pub struct TailRow {
    pub record: AttemptRecord,
    /// When the transaction that recorded it began; when the attempt began, where ClickHouse
    /// tells of it.
    pub recorded_at: DateTime<Utc>,
}

impl TailRow {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let record = &self.record;
        let texts = [
            &record.url,
            &record.request_headers,
            &record.request_body,
            &record.response_body,
            &record.reason,
            &record.txid,
        ];
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

/// What a follower is given.
#[derive(Debug, Clone)]
pub struct Tailed {
    pub row: Arc<TailRow>,
    /// How many attempts were dropped before this one, because the follower took them too slowly.
    pub dropped_before: u64,
    /// The follower asked for the past and ClickHouse did not answer: only what PostgreSQL has
    /// of it is shown. Told once, with the first row.
    pub is_past_left_out: bool,
}

/// Why a tail ended before its follower did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailEnd {
    /// PostgreSQL could not be read for so long that attempts may have gone by unseen.
    Gap,
    /// The past took longer to send than new attempts are kept for.
    HistoryTooLong,
    HistoryUnreadable,
}

/// The rows of a batch, in the order they were recorded. What cannot be read, since a newer node
/// has written it, is left out and said so: the tail goes on, and the log has it.
fn decode(batch: &TailBatch) -> Vec<Arc<TailRow>> {
    let lines = match rows::decode(&batch.payload) {
        Ok(lines) => lines,
        Err(error) => {
            tracing::error!(%error, batch = batch.batch_id, "a log batch cannot be read by the live tail");
            return Vec::new();
        }
    };
    let mut unreadable = None;
    let read = serde_json::Deserializer::from_slice(&lines)
        .into_iter::<Box<serde_json::value::RawValue>>()
        .filter_map(|line| {
            let record = line.and_then(|line| serde_json::from_str::<AttemptRecord>(line.get()));
            record.map_err(|error| unreadable = Some(error)).ok()
        })
        .map(|record| Arc::new(TailRow { record, recorded_at: batch.created_at }))
        .collect();
    if let Some(error) = unreadable {
        tracing::warn!(%error, batch = batch.batch_id, "the live tail leaves out rows it cannot read");
    }
    read
}
