//! Claims whose answers were lost: the connection broke, and nobody knows whether PostgreSQL had
//! committed. What was claimed all the same is held by nobody, and would lie until its lease ends.
//!
//! The same holds where whoever asked is gone: it panicked before the answer came.
//!
//! They are looked for as soon as PostgreSQL answers, and given back. A statement may run on after
//! its connection has broken, so what is not found at once is looked for again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;

use crate::domain::ids::{DeliveryId, NodeId};
use crate::store::deliveries::{self, Fence};
use crate::store::{StoreError, claims};

/// The second look comes so long after the first; each further one after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// So the last comes a minute after the first: no statement runs for longer than 30 s.
const LOOKS: u32 = 7;

/// Bound: the claims of each connection that broke under one, or under those of many queues, within the
/// last minute.
#[derive(Debug, Default)]
pub struct ClaimsInDoubt(Mutex<Vec<Doubt>>);

#[derive(Debug)]
struct Doubt {
    claim: Claim,
    looks: u32,
    next_look: Instant,
}

#[derive(Debug)]
enum Claim {
    /// Of a queue: all it got has this fence.
    OfQueue(Fence),
    /// These were written with a claim.
    WithBirth(Vec<DeliveryId>),
}

impl ClaimsInDoubt {
    /// A queue is about to be claimed from with this fence; in doubt until that is answered.
    pub fn of_queue(&self, fence: Fence) -> Asked<'_> {
        Asked { doubts: self, claim: Some(Claim::OfQueue(fence)) }
    }

    /// The same for deliveries that are about to be written with a claim.
    pub fn with_birth(&self, deliveries: Vec<DeliveryId>) -> Asked<'_> {
        let claim = (!deliveries.is_empty()).then_some(Claim::WithBirth(deliveries));
        Asked { doubts: self, claim }
    }

    fn add(&self, claim: Claim) {
        self.lock().push(Doubt { claim, looks: 0, next_look: Instant::now() });
    }

    /// Whether a look is due.
    pub fn are_due(&self) -> bool {
        let now = Instant::now();
        self.lock().iter().any(|doubt| doubt.next_look <= now)
    }

    /// Looks for those whose time has come. How many deliveries were found and given back.
    pub async fn settle(&self, pool: &Pool, node: NodeId) -> Result<u64, StoreError> {
        let now = Instant::now();
        let due: Vec<Doubt> = self.lock().extract_if(.., |doubt| doubt.next_look <= now).collect();
        let found = match look_for(pool, node, &due).await {
            Ok(found) => found,
            Err(error) => {
                self.lock().extend(due);
                return Err(error);
            }
        };
        for (doubt, given_back) in due.into_iter().zip(&found) {
            if *given_back == 0 && doubt.looks + 1 < LOOKS {
                let pause = FIRST_PAUSE * 2u32.pow(doubt.looks);
                let next_look = Instant::now() + pause;
                self.lock().push(Doubt { looks: doubt.looks + 1, next_look, ..doubt });
            }
        }
        let found = found.iter().sum();
        if found > 0 {
            tracing::info!(deliveries = found, "gave back what was claimed without an answer");
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim that was asked for. Dropped without an answer, it is in doubt.
#[must_use]
pub struct Asked<'a> {
    doubts: &'a ClaimsInDoubt,
    claim: Option<Claim>,
}

impl Asked<'_> {
    /// Whether anything is claimed is known now.
    pub fn is_answered(mut self) {
        self.claim = None;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.doubts.add(claim);
        }
    }
}

/// Gives back what is found, and says how much that is of each doubt. One reading of the table
/// serves all claims of queues.
async fn look_for(pool: &Pool, node: NodeId, doubts: &[Doubt]) -> Result<Vec<u64>, StoreError> {
    let fences: Vec<Fence> = doubts
        .iter()
        .filter_map(|doubt| match doubt.claim {
            Claim::OfQueue(fence) => Some(fence),
            Claim::WithBirth(_) => None,
        })
        .collect();
    let mut of_queues = Vec::new();
    if !fences.is_empty() {
        of_queues = claims::find_fenced(pool, node, &fences).await?;
        deliveries::release(pool, node, &of_queues).await?;
    }
    let mut found = Vec::new();
    for doubt in doubts {
        found.push(match &doubt.claim {
            Claim::OfQueue(fence) => of_queues.iter().filter(|(_, one)| one == fence).count() as u64,
            Claim::WithBirth(ids) => deliveries::release_born(pool, node, ids).await?,
        });
    }
    Ok(found)
}
