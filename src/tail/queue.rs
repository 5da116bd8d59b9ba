//! What waits for one follower.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{TailEnd, TailRow, Tailed};

/// Most rows and bytes that wait for one follower. Full, the oldest are dropped and counted: who
/// cannot keep up sees what is new, is told how much it missed, and holds up nobody.
pub const QUEUE_ROWS: usize = 10_000;
pub const QUEUE_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
struct Waiting {
    rows: VecDeque<Arc<TailRow>>,
    bytes: usize,
    dropped: u64,
    end: Option<TailEnd>,
}

#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    arrival: Notify,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, row: Arc<TailRow>) {
        let mut waiting = self.waiting();
        waiting.bytes += row.bytes();
        waiting.rows.push_back(row);
        let mut dropped = 0;
        while waiting.rows.len() > QUEUE_ROWS || (waiting.bytes > QUEUE_BYTES && waiting.rows.len() > 1) {
            if let Some(oldest) = waiting.rows.pop_front() {
                waiting.bytes -= oldest.bytes();
                dropped += 1;
            }
        }
        waiting.dropped += dropped;
        drop(waiting);
        if dropped > 0 {
            metrics::counter!("ricochet_tail_dropped_total").increment(dropped);
        }
        self.arrival.notify_one();
    }

    /// Ends it: what waits is given out first.
    pub fn end(&self, why: TailEnd) {
        self.waiting().end = Some(why);
        self.arrival.notify_one();
    }

    fn take(&self) -> Option<Result<Tailed, TailEnd>> {
        let mut waiting = self.waiting();
        let Some(row) = waiting.rows.pop_front() else { return waiting.end.map(Err) };
        waiting.bytes -= row.bytes();
        let dropped_before = std::mem::take(&mut waiting.dropped);
        Some(Ok(Tailed { row, dropped_before, is_past_left_out: false }))
    }

    /// The next row, or why there are no more.
    pub async fn next(&self) -> Result<Tailed, TailEnd> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.arrival.notified().await;
        }
    }
}
