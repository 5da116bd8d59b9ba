//! Connections that wait for their next request.
//!
//! Bounds: `most` connections over all destinations, so that thousands of destinations do not
//! take all file descriptors (past it the one that has waited longest is closed), and
//! [`MOST_WAIT`] for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::request::Destination;

/// Servers close idle connections after about as long; past it they are not worth the risk.
const MOST_WAIT: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Pool {
    idle: Arc<Mutex<Idle>>,
}

struct Idle {
    most: usize,
    next_number: u64,
    /// Of each destination the longest waiting first.
    by_destination: HashMap<Arc<Destination>, Vec<Waiting>>,
    /// All, the longest waiting first.
    by_number: BTreeMap<u64, Arc<Destination>>,
    is_swept: bool,
}

struct Waiting {
    number: u64,
    since: Instant,
    connection: Connection,
}

impl Pool {
    pub fn new(most: usize) -> Self {
        let idle = Idle {
            most,
            next_number: 0,
            by_destination: HashMap::new(),
            by_number: BTreeMap::new(),
            is_swept: false,
        };
        Self { idle: Arc::new(Mutex::new(idle)) }
    }

    /// A connection to `destination` that is open as far as is known.
    pub fn take(&self, destination: &Arc<Destination>) -> Option<Connection> {
        let mut idle = self.lock();
        loop {
            let waiting = idle.pop_newest(destination)?;
            if waiting.since.elapsed() > MOST_WAIT || waiting.connection.is_closed() {
                continue;
            }
            if let Some(shared) = waiting.connection.share() {
                idle.push(destination, waiting.connection);
                return Some(shared);
            }
            return Some(waiting.connection);
        }
    }

    /// Keeps a connection for the next request.
    pub fn put(&self, destination: &Arc<Destination>, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.lock();
        idle.push(destination, connection);
        while idle.by_number.len() > idle.most {
            idle.drop_oldest();
        }
        if !idle.is_swept {
            idle.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.idle)));
        }
    }

    /// Gives a shared connection to nobody any more; requests under way on it go on.
    pub fn forget(&self, destination: &Arc<Destination>, connection: &Connection) {
        let mut idle = self.lock();
        let Some(waiting) = idle.by_destination.get_mut(destination) else { return };
        let same = waiting.iter().position(|waiting| waiting.connection.is(connection));
        if let Some(place) = same {
            let gone = waiting.remove(place);
            if waiting.is_empty() {
                idle.by_destination.remove(destination);
            }
            idle.by_number.remove(&gone.number);
        }
    }

    /// Closes all: for want of file descriptors. False where there were none.
    pub fn clear(&self) -> bool {
        let mut idle = self.lock();
        idle.by_destination.clear();
        let had_some = !idle.by_number.is_empty();
        idle.by_number.clear();
        had_some
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Idle> {
        // Nothing in here panics half-way through a change.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn push(&mut self, destination: &Arc<Destination>, connection: Connection) {
        let number = self.next_number;
        self.next_number += 1;
        self.by_number.insert(number, destination.clone());
        let waiting = Waiting { number, since: Instant::now(), connection };
        self.by_destination.entry(destination.clone()).or_default().push(waiting);
    }

    fn pop_newest(&mut self, destination: &Arc<Destination>) -> Option<Waiting> {
        let all = self.by_destination.get_mut(destination)?;
        let newest = all.pop();
        if all.is_empty() {
            self.by_destination.remove(destination);
        }
        let newest = newest?;
        self.by_number.remove(&newest.number);
        Some(newest)
    }

    fn drop_oldest(&mut self) {
        let Some((number, destination)) = self.by_number.pop_first() else { return };
        let Some(all) = self.by_destination.get_mut(&destination) else { return };
        all.retain(|waiting| waiting.number != number);
        if all.is_empty() {
            self.by_destination.remove(&destination);
        }
    }

    /// Whether the one that has waited longest has waited too long.
    fn is_oldest_stale(&self) -> bool {
        let Some((_, destination)) = self.by_number.first_key_value() else { return false };
        let oldest = self.by_destination.get(destination).and_then(|all| all.first());
        oldest.is_some_and(|oldest| oldest.since.elapsed() > MOST_WAIT)
    }
}

/// Runs while connections wait; a pool that nobody holds any more ends it.
async fn sweep(idle: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.is_oldest_stale() {
            idle.drop_oldest();
        }
        if idle.by_number.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}
