//! Tells the other nodes that a destination asks to be left alone, or that its breaker opened or
//! closed, and heeds what they tell.
//!
//! ```text
//! Dispatcher ─► a change ─► untold ─► at once ──┐
//!                          twice a second ──────┴─► tell, then look ─► Destination ─► log
//! ```
//!
//! Nothing waits for it: a node that cannot tell or look goes on by what it has heard itself.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::services::Services;
use crate::domain::destination::Change;
use crate::domain::ids::PostbackId;
use crate::panics::as_failure;
use crate::store::StoreError;
use crate::store::destination_news::{self, Look};

/// Between looks; also the most that others hear of a change late.
const EVERY: Duration = Duration::from_millis(500);
/// Changes within so short a time are told together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Who has not looked for so long may have missed something.
const MISSED_AFTER: Duration = Duration::from_secs(2);
/// Between looks at all there is, whatever was or was not missed.
const ALL_EVERY: Duration = Duration::from_secs(30);

/// Destinations of which something is untold. Bound: an id for each postback at most.
#[derive(Debug, Default)]
pub struct DestinationExchange {
    untold: Mutex<HashSet<PostbackId>>,
    has_news: Notify,
}

impl DestinationExchange {
    /// Something has changed here that the others should know.
    pub fn tell(&self, postback: PostbackId) {
        self.lock().insert(postback);
        self.has_news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PostbackId>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in all that was told before this node was there.
pub async fn catch_up(services: &Services) -> Result<(), StoreError> {
    hear(services, Look::All).await
}

/// Starts telling and looking on this thread. It ends with it.
pub fn start(services: &Arc<Services>) {
    let services = services.clone();
    actix::spawn(async move {
        let mut looked_at = Instant::now();
        let mut all_looked_at = Instant::now();
        let mut was_well = true;
        loop {
            let _ = tokio::time::timeout(EVERY, services.exchange.has_news.notified()).await;
            tokio::time::sleep(TOGETHER).await;
            let began = Instant::now();
            let look = match began - looked_at > MISSED_AFTER || began - all_looked_at > ALL_EVERY {
                true => Look::All,
                false => Look::Recent,
            };
            let result = as_failure(go_round(&services, look)).await;
            match &result {
                Ok(()) => {
                    looked_at = began;
                    if look == Look::All {
                        all_looked_at = began;
                    }
                }
                Err(error) if was_well => {
                    tracing::warn!(%error, "what destinations ask for is not exchanged with other nodes");
                }
                Err(_) => {}
            }
            was_well = result.is_ok();
        }
    });
}

async fn go_round(services: &Services, look: Look) -> Result<(), StoreError> {
    let untold = std::mem::take(&mut *services.exchange.lock());
    let tellings: Vec<_> = untold
        .into_iter()
        .filter_map(|postback| Some((postback, services.slots.of(postback).tell()?)))
        .collect();
    if let Err(error) = destination_news::tell(&services.pool, services.node, &tellings).await {
        for (postback, telling) in tellings {
            services.slots.of(postback).tell_again(telling);
            services.exchange.lock().insert(postback);
        }
        return Err(error);
    }
    hear(services, look).await?;
    if look == Look::All {
        destination_news::forget(&services.pool).await?;
    }
    Ok(())
}

async fn hear(services: &Services, look: Look) -> Result<(), StoreError> {
    for (postback, told) in destination_news::look(&services.pool, look).await? {
        for change in services.slots.of(postback).hear_told(told) {
            log(postback, change);
        }
    }
    Ok(())
}

fn log(postback: PostbackId, change: Change) {
    match change {
        Change::Opened { probe_in, .. } => {
            let probe_in_ms = probe_in.as_millis();
            tracing::warn!(%postback, probe_in_ms, "another node found a destination failing: what is for it waits");
        }
        Change::Closed => {
            tracing::info!(%postback, "another node found a destination well: what is for it goes on")
        }
        Change::Held { .. } => {
            tracing::info!(%postback, "another node was asked (Retry-After) to leave a destination alone");
        }
    }
}
