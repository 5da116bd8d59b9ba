//! Keeps this node's lease, on a thread and a connection that nothing else uses: whatever the node
//! or PostgreSQL is busy with, a node that lives is not taken for dead.
//!
//! A node that stops keeps its lease until what it has under way is recorded. It says that it is
//! leaving, so that the others share the destinations among themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use deadpool_postgres::Pool;
use tokio::sync::watch;

use super::services::Services;
use crate::domain::ids::NodeId;
use crate::domain::lease::{Lease, NODE_LEASE, RENEW_EVERY, RENEW_WITHIN};
use crate::store::StoreError;
use crate::store::nodes::{self, Renewal};

/// Between tries while a renewal fails.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// What the node does next with its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    Serve,
    Leave,
    Gone,
}

/// The node's lease, for all that must know whether it holds.
#[derive(Debug)]
pub struct NodeLease {
    /// `None` until it was held for the first time.
    lease: Mutex<Option<Lease>>,
    intent: watch::Sender<Intent>,
    /// Held while it is renewed.
    renewing: tokio::sync::Mutex<()>,
}

impl Default for NodeLease {
    fn default() -> Self {
        Self {
            lease: Mutex::default(),
            intent: watch::Sender::new(Intent::Serve),
            renewing: tokio::sync::Mutex::default(),
        }
    }
}

impl NodeLease {
    /// Renews it once; before anything is claimed, for a claim of an unknown node is nobody's.
    pub async fn renew(&self, pool: &Pool, node: NodeId) -> Result<(), StoreError> {
        let _alone = self.renewing.lock().await;
        let renewal = match *self.intent.borrow() {
            Intent::Serve => Renewal::Serving,
            Intent::Leave => Renewal::Leaving,
            Intent::Gone => return Ok(()),
        };
        let asked_at = Instant::now();
        tokio::time::timeout(RENEW_WITHIN, nodes::renew(pool, node, NODE_LEASE, renewal))
            .await
            .map_err(|_| StoreError::Unavailable(format!("no answer within {RENEW_WITHIN:?}")))??;
        let granted_at = Instant::now();
        let mut lease = self.lock();
        match lease.as_mut() {
            Some(lease) => lease.renewed(asked_at, granted_at),
            None => *lease = Some(Lease::new(asked_at, granted_at)),
        }
        Ok(())
    }

    /// From now on the others share the destinations without this node.
    pub fn leave(&self) {
        self.intent.send_replace(Intent::Leave);
    }

    /// Ends the renewing. When this comes back none is under way.
    pub async fn end(&self) {
        self.intent.send_replace(Intent::Gone);
        drop(self.renewing.lock().await);
    }

    /// See [`Lease::is_held`].
    pub fn is_held(&self) -> bool {
        self.lock().is_some_and(|lease| lease.is_held(Instant::now()))
    }

    /// See [`Lease::time_to_send`].
    pub fn time_to_send(&self, claimed_at: Instant) -> Option<Duration> {
        self.lock().as_ref()?.time_to_send(claimed_at, Instant::now())
    }

    /// See [`Lease::may_judge_nodes`].
    pub fn may_judge_nodes(&self) -> bool {
        self.lock().is_some_and(|lease| lease.may_judge_nodes(Instant::now()))
    }

    /// See [`Lease::may_judge_claims`].
    pub fn may_judge_claims(&self) -> bool {
        self.lock().is_some_and(|lease| lease.may_judge_claims(Instant::now()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bound: one renewal at a time.
pub struct LeaseKeeper {
    services: Arc<Services>,
}

impl LeaseKeeper {
    pub fn new(services: Arc<Services>) -> Self {
        Self { services }
    }
}

async fn keep(services: Arc<Services>) {
    let mut intents = services.lease.intent.subscribe();
    let mut was_well = true;
    while *intents.borrow_and_update() != Intent::Gone {
        let result = services.lease.renew(&services.lease_pool, services.node).await;
        match &result {
            Ok(()) if !was_well => tracing::info!("the node's lease is renewed again"),
            Err(error) if was_well => {
                tracing::warn!(%error, "the node's lease is not renewed; it lapses {NODE_LEASE:?} after the last renewal");
            }
            _ => {}
        }
        was_well = result.is_ok();
        let pause = if was_well { RENEW_EVERY } else { RETRY_WAIT };
        let _ = tokio::time::timeout(pause, intents.changed()).await;
    }
}

impl Actor for LeaseKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(keep(self.services.clone()).into_actor(self));
    }
}
