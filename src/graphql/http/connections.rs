//! The WebSockets of a node: how many there are, whose they are, and how they are told to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio::sync::watch;
use uuid::Uuid;

use crate::pipeline::periodic;
use crate::store::{StoreError, tokens};

/// How often the tokens of open connections are looked at: a revoked one is cut off after as long.
const LOOK: Duration = Duration::from_secs(2);

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    TokenRevoked,
    /// The server stops.
    GoingAway,
}

/// Past a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Connection>,
    next: u64,
    is_closed: bool,
}

struct Connection {
    token_id: Option<Uuid>,
    ending: watch::Sender<Option<Ending>>,
}

/// All WebSockets of this node. Bound: as many as the settings say, over all and for each token, and
/// a quarter of them for those who have not said yet who they are; past it the handshake is refused.
pub struct Connections {
    most: usize,
    most_per_token: usize,
    open: Mutex<Open>,
}

impl Connections {
    pub fn new(most: usize, most_per_token: usize) -> Self {
        Self { most, most_per_token, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection, until it is dropped; `token_id` where it is known already.
    pub fn enter(self: &Arc<Self>, token_id: Option<Uuid>) -> Result<Place, TooMany> {
        let mut open = self.open();
        let same = open.connections.values().filter(|other| other.token_id == token_id).count();
        let most_of_these = if token_id.is_some() { self.most_per_token } else { (self.most / 4).max(1) };
        if open.is_closed || open.connections.len() >= self.most || same >= most_of_these {
            return Err(TooMany);
        }
        let id = open.next;
        open.next += 1;
        let ending = watch::Sender::new(None);
        let told = ending.subscribe();
        open.connections.insert(id, Connection { token_id, ending });
        metrics::gauge!("ricochet_websockets").set(open.connections.len() as f64);
        Ok(Place { connections: self.clone(), id, told })
    }

    /// Tells every connection that the server stops, and lets no new one in.
    pub fn close(&self) {
        let mut open = self.open();
        open.is_closed = true;
        for connection in open.connections.values() {
            connection.ending.send_replace(Some(Ending::GoingAway));
        }
    }

    fn token_ids(&self) -> Vec<Uuid> {
        let mut ids: Vec<_> =
            self.open().connections.values().filter_map(|connection| connection.token_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn cut_off(&self, is_live: impl Fn(Uuid) -> bool, asked: &[Uuid]) {
        for connection in self.open().connections.values() {
            if let Some(id) = connection.token_id
                && asked.binary_search(&id).is_ok()
                && !is_live(id)
            {
                connection.ending.send_replace(Some(Ending::TokenRevoked));
            }
        }
    }
}

/// One connection's place among the others.
pub struct Place {
    connections: Arc<Connections>,
    id: u64,
    told: watch::Receiver<Option<Ending>>,
}

/// Names a connection's token, once it is known.
#[derive(Clone)]
pub struct Claim {
    connections: Arc<Connections>,
    id: u64,
}

impl Place {
    pub fn claim(&self) -> Claim {
        Claim { connections: self.connections.clone(), id: self.id }
    }

    /// Waits until the connection has to end.
    pub async fn ending(&mut self) -> Ending {
        loop {
            if let Some(ending) = *self.told.borrow_and_update() {
                return ending;
            }
            // The sender stays as long as the place does.
            if self.told.changed().await.is_err() {
                return Ending::GoingAway;
            }
        }
    }
}

impl Claim {
    pub fn with_token(&self, token_id: Uuid) -> Result<(), TooMany> {
        let mut open = self.connections.open();
        let same = open.connections.values().filter(|other| other.token_id == Some(token_id)).count();
        if same >= self.connections.most_per_token {
            return Err(TooMany);
        }
        if let Some(connection) = open.connections.get_mut(&self.id) {
            connection.token_id = Some(token_id);
        }
        Ok(())
    }

    /// Whether it is known whose the connection is.
    pub fn has_token(&self) -> bool {
        let open = self.connections.open();
        open.connections.get(&self.id).is_some_and(|connection| connection.token_id.is_some())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.connections.remove(&self.id);
        metrics::gauge!("ricochet_websockets").set(open.connections.len() as f64);
    }
}

/// Cuts off connections whose token has been revoked. While PostgreSQL is away they stay.
pub fn watch_tokens(connections: &Arc<Connections>, pool: &Pool) {
    periodic::repeat(LOOK, "revoked tokens are not cut off", {
        let (connections, pool) = (connections.clone(), pool.clone());
        move || {
            let (connections, pool) = (connections.clone(), pool.clone());
            async move { look(&connections, &pool).await }
        }
    });
}

async fn look(connections: &Connections, pool: &Pool) -> Result<(), StoreError> {
    let asked = connections.token_ids();
    if asked.is_empty() {
        return Ok(());
    }
    let live = tokens::still_live(pool, &asked).await?;
    connections.cut_off(|id| live.contains(&id), &asked);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_over_all_and_for_each_token() {
        let connections = Arc::new(Connections::new(3, 2));
        let token = Uuid::from_u128(1);
        let another = Uuid::from_u128(2);
        let enter = |token_id| connections.enter(token_id).ok();
        let first = enter(Some(token)).unwrap();
        let stranger = enter(None).unwrap();
        assert!(enter(None).is_none(), "a quarter, but at least one, for strangers");
        assert_eq!(stranger.claim().with_token(token), Ok(()));
        assert!(enter(Some(token)).is_none(), "two of a token");
        let third = enter(None).unwrap();
        assert_eq!(third.claim().with_token(token), Err(TooMany));
        assert_eq!(third.claim().with_token(another), Ok(()));
        assert!(enter(Some(another)).is_none(), "three over all");
        drop((first, stranger, third));
        assert!(enter(Some(token)).is_some());
        connections.close();
        assert!(enter(Some(token)).is_none());
    }
}
