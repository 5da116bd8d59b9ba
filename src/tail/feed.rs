//! The one reader of a node, and who follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::queue::Queue;
use super::seen::Seen;
use super::{TailEnd, Tailed, decode};
use crate::domain::ids::NodeId;
use crate::event_log::reader::{AttemptFilter, is_match};
use crate::graphql::scope::Scope;
use crate::store::log_tails::{self, KEPT, TailBatch};
use crate::store::{Pool, StoreError};

/// Between looks for new batches.
pub const POLL: Duration = Duration::from_millis(250);
/// Between looks while PostgreSQL is away.
const AWAY: Duration = Duration::from_secs(1);
/// How often the lease is renewed; it lasts several times as long.
const RENEW: Duration = Duration::from_secs(15);
/// How long the feed goes on without followers: one that reconnects finds it warm.
const IDLE: Duration = Duration::from_secs(30);
/// Most batches of one look, compressed: what bounds the memory of a feed that catches up.
const BATCHES: i64 = 64;
/// How long the feed may not have read and still be sure that nothing went by.
const BLIND: Duration = Duration::from_secs(KEPT.as_secs() - 30);

/// Who follows, and what the reader has seen. One lock over both: a follower that comes knows
/// exactly which batches it will be given.
#[derive(Default)]
struct State {
    followers: HashMap<u64, Arc<Following>>,
    next: u64,
    seen: Seen,
}

struct Following {
    scope: Scope,
    filter: AttemptFilter,
    queue: Queue,
}

/// The live tail of one node. Cloned freely.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    pool: Pool,
    node: NodeId,
    state: Mutex<State>,
    /// Somebody came.
    wanted: Notify,
    /// Whether the reader knows where it is.
    is_reading: watch::Sender<bool>,
}

impl Feed {
    pub fn new(pool: Pool, node: NodeId) -> Self {
        let is_reading = watch::Sender::new(false);
        Self(Arc::new(Inner { pool, node, state: Mutex::default(), wanted: Notify::new(), is_reading }))
    }

    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows from now on. Waits until the reader knows where it is, which takes as long as
    /// PostgreSQL takes to answer.
    pub async fn follow(&self, scope: Scope, filter: AttemptFilter) -> Follower {
        let mut is_reading = self.0.is_reading.subscribe();
        loop {
            self.0.wanted.notify_one();
            // The sender is never dropped while `self` is there.
            let _ = is_reading.wait_for(|is_reading| *is_reading).await;
            let mut state = self.state();
            // The reader lets go under the same lock.
            if !*self.0.is_reading.borrow() {
                continue;
            }
            let id = state.next;
            state.next += 1;
            let following = Arc::new(Following { scope, filter, queue: Queue::default() });
            state.followers.insert(id, following.clone());
            metrics::gauge!("ricochet_tail_subscriptions").set(state.followers.len() as f64);
            let seen = state.seen.clone();
            return Follower { feed: self.clone(), id, following, seen };
        }
    }

    /// Reads for as long as the node runs, whenever there is somebody to read for.
    pub async fn run(self) {
        // Should this be begun again, after a panic, something may have gone by unseen.
        self.end_all();
        loop {
            self.0.wanted.notified().await;
            if let Err(error) = self.begin().await {
                tracing::warn!(%error, "the live tail waits: PostgreSQL could not be read");
                tokio::time::sleep(AWAY).await;
                self.0.wanted.notify_one();
                continue;
            }
            self.read_while_followed().await;
            if let Err(error) = log_tails::leave(&self.0.pool, self.0.node).await {
                tracing::debug!(%error, "the live tail's lease is left to lapse");
            }
        }
    }

    fn end_all(&self) {
        let mut state = self.state();
        end_all(&mut state);
        self.0.is_reading.send_replace(false);
    }

    /// The lease first: from then on nothing that is committed can go by unseen.
    async fn begin(&self) -> Result<(), StoreError> {
        log_tails::renew(&self.0.pool, self.0.node).await?;
        let beginning = log_tails::beginning(&self.0.pool).await?;
        let mut state = self.state();
        state.seen = Seen::beginning(beginning.floor, beginning.batch_ids);
        self.0.is_reading.send_replace(true);
        Ok(())
    }

    async fn read_while_followed(&self) {
        let mut read_at = Instant::now();
        let mut renewed_at = Instant::now();
        let mut followed_at = Instant::now();
        loop {
            let began = Instant::now();
            match self.read(began >= renewed_at + RENEW).await {
                Ok(has_more) => {
                    if began >= renewed_at + RENEW {
                        renewed_at = began;
                    }
                    read_at = began;
                    if has_more {
                        continue;
                    }
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the live tail waits: PostgreSQL could not be read");
                    tokio::time::sleep(AWAY).await;
                }
            }
            let mut state = self.state();
            if !state.followers.is_empty() {
                followed_at = Instant::now();
            }
            let is_blind = read_at.elapsed() > BLIND;
            if is_blind {
                end_all(&mut state);
            }
            if is_blind || followed_at.elapsed() > IDLE {
                self.0.is_reading.send_replace(false);
                return;
            }
        }
    }

    /// Reads what is new; whether there may be more.
    async fn read(&self, renews: bool) -> Result<bool, StoreError> {
        if renews {
            log_tails::renew(&self.0.pool, self.0.node).await?;
        }
        let (floor, above) = {
            let state = self.state();
            (state.seen.floor(), state.seen.above())
        };
        let batches = log_tails::unseen(&self.0.pool, floor, &above, BATCHES).await?;
        let has_more = i64::try_from(batches.len()) == Ok(BATCHES);
        batches.iter().for_each(|batch| self.pass_on(batch));
        Ok(has_more)
    }

    /// One batch at a time: only its rows are decoded at once. Also without followers, for one may
    /// come meanwhile.
    fn pass_on(&self, batch: &TailBatch) {
        let rows = decode(batch);
        let mut state = self.state();
        state.seen.note([batch.batch_id], Instant::now());
        for following in state.followers.values() {
            for row in &rows {
                if is_match(following.scope, &following.filter, &row.record) {
                    following.queue.push(row.clone());
                }
            }
        }
    }
}

fn end_all(state: &mut State) {
    for (_, following) in state.followers.drain() {
        following.queue.end(TailEnd::Gap);
    }
}

/// Someone who follows, until it is dropped.
pub struct Follower {
    feed: Feed,
    id: u64,
    following: Arc<Following>,
    seen: Seen,
}

impl Follower {
    /// The next attempt, in the order of recording, or why there will be none.
    pub async fn next(&self) -> Result<Tailed, TailEnd> {
        self.following.queue.next().await
    }

    /// Whether the feed had seen a batch before this one came, and so will not pass it on to it.
    pub fn came_after(&self, batch_id: i64) -> bool {
        self.seen.contains(batch_id)
    }

    pub fn scope(&self) -> Scope {
        self.following.scope
    }

    pub fn filter(&self) -> &AttemptFilter {
        &self.following.filter
    }

    pub fn pool(&self) -> &Pool {
        self.feed.pool()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.feed.state();
        state.followers.remove(&self.id);
        metrics::gauge!("ricochet_tail_subscriptions").set(state.followers.len() as f64);
    }
}
