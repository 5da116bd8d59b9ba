//! Claims whose answers were lost: the connection broke, and nobody knows whether PostgreSQL had
//! committed. What was claimed all the same is held by nobody, and would lie until its lease ends.
//!
//! They are looked for as soon as PostgreSQL answers, and given back. A statement may run on after
//! its connection has broken, so what is not found at once is looked for again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;

use crate::domain::ids::{DeliveryId, NodeId};
use crate::store::StoreError;
use crate::store::deliveries::{self, Fence};

/// The second look comes so long after the first; each further one after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// So the last comes a minute after the first: no statement runs for longer than 30 s.
const LOOKS: u32 = 7;

/// Bound: a claim for each connection that broke under one within the last minute.
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
    pub fn of_queue(&self, fence: Fence) {
        self.add(Claim::OfQueue(fence));
    }

    pub fn with_birth(&self, deliveries: Vec<DeliveryId>) {
        if !deliveries.is_empty() {
            self.add(Claim::WithBirth(deliveries));
        }
    }

    fn add(&self, claim: Claim) {
        self.lock().push(Doubt { claim, looks: 0, next_look: Instant::now() });
    }

    /// Looks for those whose time has come. How many deliveries were found and given back.
    pub async fn settle(&self, pool: &Pool, node: NodeId) -> Result<u64, StoreError> {
        let now = Instant::now();
        let due: Vec<Doubt> = self.lock().extract_if(.., |doubt| doubt.next_look <= now).collect();
        let mut found = 0;
        let mut doubts = due.into_iter();
        while let Some(doubt) = doubts.next() {
            let given_back = match &doubt.claim {
                Claim::OfQueue(fence) => deliveries::release_claim(pool, node, *fence).await,
                Claim::WithBirth(ids) => deliveries::release_born(pool, node, ids).await,
            };
            match given_back {
                Ok(0) if doubt.looks + 1 < LOOKS => {
                    let pause = FIRST_PAUSE * 2u32.pow(doubt.looks);
                    let next_look = Instant::now() + pause;
                    self.lock().push(Doubt { looks: doubt.looks + 1, next_look, ..doubt });
                }
                Ok(given_back) => found += given_back,
                Err(error) => {
                    let mut unsettled = self.lock();
                    unsettled.push(doubt);
                    unsettled.extend(doubts);
                    return Err(error);
                }
            }
        }
        if found > 0 {
            tracing::info!(deliveries = found, "gave back what was claimed without an answer");
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
