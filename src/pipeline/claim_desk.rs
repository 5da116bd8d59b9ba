//! Claims for many queues in one transaction.
//!
//! A claim is a commit, and whoever is well shares the disk with it. A thousand destinations that time
//! out together want a thousand claims within a second; those that are asked for at about the same time
//! are made together.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::services::Services;
use crate::panics::caught;
use crate::store::StoreError;
use crate::store::deliveries::{self, ClaimError, QueueAsk, QueueClaim};

/// So long the first waits for others.
const GATHERING: Duration = Duration::from_millis(1);
/// Most queues of one transaction.
const LARGEST_BATCH: usize = 64;

/// Bound: one claim at a time for each destination.
pub struct ClaimDesk {
    services: Arc<Services>,
    asked: Vec<Asked>,
}

struct Asked {
    ask: QueueAsk,
    answer: oneshot::Sender<Claimed>,
}

/// What came of a claim. Those that were made together fail together.
pub type Claimed = Result<QueueClaim, Arc<ClaimError>>;

/// Claims from a queue, together with what others ask for.
#[derive(Message)]
#[rtype(result = "Claimed")]
pub struct Claim(pub QueueAsk);

impl ClaimDesk {
    pub fn new(services: Arc<Services>) -> Self {
        Self { services, asked: Vec::new() }
    }

    /// Claims what was asked for. Should it take long, what is asked for next does not wait for it.
    fn claim(&mut self, ctx: &mut Context<Self>) {
        let batch = std::mem::take(&mut self.asked);
        if batch.is_empty() {
            return;
        }
        let services = self.services.clone();
        let claiming = async move {
            let (asks, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|asked| (asked.ask, asked.answer)).unzip();
            let claimed = caught(deliveries::claim(&services.pool, services.node, &asks)).await;
            // Who does not wait for its answer any more holds its claim in doubt.
            match claimed.unwrap_or_else(|panicked| Err(ClaimError::InDoubt(panicked.into()))) {
                Ok(claims) => {
                    answers.into_iter().zip(claims).for_each(|(answer, claim)| drop(answer.send(Ok(claim))));
                }
                Err(error) => {
                    let error = Arc::new(error);
                    answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
                }
            }
        };
        ctx.spawn(claiming.into_actor(self));
    }
}

/// Where no answer comes.
pub fn unanswered() -> Arc<ClaimError> {
    Arc::new(ClaimError::InDoubt(StoreError::Unavailable("whoever claims has ended".into())))
}

impl Actor for ClaimDesk {
    type Context = Context<Self>;
}

impl Handler<Claim> for ClaimDesk {
    type Result = ResponseFuture<Claimed>;

    fn handle(&mut self, Claim(ask): Claim, ctx: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.asked.push(Asked { ask, answer });
        match self.asked.len() {
            1 => drop(ctx.run_later(GATHERING, Self::claim)),
            LARGEST_BATCH.. => self.claim(ctx),
            _ => {}
        }
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(unanswered())) })
    }
}
