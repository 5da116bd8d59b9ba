//! Claims for many queues in one transaction.
//!
//! A claim is a commit, and whoever is well shares the disk with it. A thousand destinations that time
//! out together want a thousand claims within a second; those that are asked for at about the same time
//! are made together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::services::Services;
use crate::panics::caught;
use crate::store::StoreError;
use crate::store::queue_claims::{self, ClaimError, QueueAsk, QueueClaim};

/// So long the first waits for others.
const GATHERING: Duration = Duration::from_millis(1);
/// Most queues of one transaction.
const LARGEST_BATCH: usize = 32;
/// A batch that took longer holds its queues up: the next is half as large.
const LONG: Duration = Duration::from_millis(200);

/// Bound: one claim at a time for each destination.
pub struct ClaimDesk {
    services: Arc<Services>,
    waiting: Vec<Waiting>,
    /// Most queues of the next transactions.
    largest_batch: usize,
}

struct Waiting {
    ask: QueueAsk,
    answer: oneshot::Sender<Claimed>,
}

/// What came of a claim. Those that were made together fail together.
pub type Claimed = Result<QueueClaim, Arc<ClaimError>>;

#[derive(Message)]
#[rtype(result = "Claimed")]
struct Claim(QueueAsk);

/// Claims from a queue, together with what others ask for at about the same time.
pub async fn claim_with_others(desk: &Addr<ClaimDesk>, ask: QueueAsk) -> Claimed {
    desk.send(Claim(ask)).await.unwrap_or_else(|_| Err(unanswered()))
}

/// Claims from a queue now, in a transaction of its own.
pub async fn claim_alone(services: &Services, ask: QueueAsk) -> Claimed {
    let claims = claim(services, &[ask]).await.map_err(Arc::new)?;
    Ok(claims.into_iter().next().unwrap_or_default())
}

impl ClaimDesk {
    pub fn new(services: Arc<Services>) -> Self {
        Self { services, waiting: Vec::new(), largest_batch: LARGEST_BATCH }
    }

    /// Claims what was asked for. Should it take long, what is asked for next does not wait for it.
    fn claim(&mut self, ctx: &mut Context<Self>) {
        while !self.waiting.is_empty() {
            let size = self.waiting.len().min(self.largest_batch);
            let batch: Vec<_> = self.waiting.drain(..size).collect();
            let claiming = claim_for(self.services.clone(), batch);
            ctx.spawn(claiming.into_actor(self).map(|took, this, _| {
                this.largest_batch = next_size(this.largest_batch, took);
            }));
        }
    }
}

/// How many queues are claimed from together after a batch; `took` is `None` where that has failed. Then
/// each is by itself, so that whatever is wrong with one keeps no other.
fn next_size(largest_batch: usize, took: Option<Duration>) -> usize {
    match took {
        None => 1,
        Some(took) if took > LONG => (largest_batch / 2).max(1),
        Some(_) => (largest_batch * 2).min(LARGEST_BATCH),
    }
}

async fn claim_for(services: Arc<Services>, batch: Vec<Waiting>) -> Option<Duration> {
    let (asks, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.ask, one.answer)).unzip();
    let began = Instant::now();
    // Who does not wait for its answer any more holds its claim in doubt.
    match claim(&services, &asks).await {
        Ok(claims) => {
            answers.into_iter().zip(claims).for_each(|(answer, claim)| drop(answer.send(Ok(claim))));
            Some(began.elapsed())
        }
        Err(error) => {
            let error = Arc::new(error);
            answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
            None
        }
    }
}

/// Claims from these queues now, unless the node's lease is not held: others would take it over.
async fn claim(services: &Services, asks: &[QueueAsk]) -> Result<Vec<QueueClaim>, ClaimError> {
    let claimed = match services.lease.is_held() {
        true => caught(queue_claims::claim(&services.pool, services.node, asks))
            .await
            .unwrap_or_else(|panicked| Err(ClaimError::InDoubt(panicked.into()))),
        false => Err(ClaimError::Failed(StoreError::Unavailable("the node's lease is not held".into()))),
    };
    if let Err(error) = &claimed {
        tracing::warn!(%error, queues = asks.len(), "nothing could be claimed");
    }
    claimed
}

/// Where no answer comes.
fn unanswered() -> Arc<ClaimError> {
    Arc::new(ClaimError::InDoubt(StoreError::Unavailable("whoever claims has ended".into())))
}

impl Actor for ClaimDesk {
    type Context = Context<Self>;
}

impl Handler<Claim> for ClaimDesk {
    type Result = ResponseFuture<Claimed>;

    fn handle(&mut self, Claim(ask): Claim, ctx: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.waiting.push(Waiting { ask, answer });
        match self.waiting.len() {
            1 => drop(ctx.run_later(GATHERING, Self::claim)),
            LARGEST_BATCH.. => self.claim(ctx),
            _ => {}
        }
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(unanswered())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_get_smaller_where_they_fail_or_take_long_and_large_again() {
        assert_eq!(next_size(32, None), 1);
        assert_eq!(next_size(32, Some(LONG * 2)), 16);
        assert_eq!(next_size(1, Some(LONG * 2)), 1);
        let mut size = 1;
        for expected in [2, 4, 8, 16, 32, 32] {
            size = next_size(size, Some(LONG));
            assert_eq!(size, expected);
        }
    }
}
