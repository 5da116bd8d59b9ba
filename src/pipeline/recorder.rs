//! The end of a lane: decides a batch under lock, writes it in one transaction, then answers.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;

use super::claims_in_doubt::Asked;
use super::dispatcher_supervisor::{DispatcherSupervisor, Due, Send};
use super::held::Held;
use super::inbound::NotDurable;
use super::intake::LaneTicket;
use super::plan::{self, Circumstances};
use super::services::Services;
use super::status_mapper::Mapped;
use crate::domain::verdict::Verdict;
use crate::panics::as_failure;
use crate::store::{Pool, StoreError, conversions};

/// Bound: one batch, as its lane has one under way.
pub struct Recorder {
    services: Arc<Services>,
    supervisor: Addr<DispatcherSupervisor>,
    pool: Pool,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct RecordBatch {
    pub items: Vec<Mapped>,
    pub ticket: LaneTicket,
}

/// How often a batch that another node came before is decided again.
const TRIES: usize = 5;

impl Recorder {
    /// `pool`: whose connections are for its thread.
    pub fn new(services: Arc<Services>, supervisor: Addr<DispatcherSupervisor>, pool: Pool) -> Self {
        Self { services, supervisor, pool }
    }
}

impl Actor for Recorder {
    type Context = Context<Self>;
}

impl Handler<RecordBatch> for Recorder {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, RecordBatch { items, ticket }: RecordBatch, _: &mut Self::Context) -> Self::Result {
        let services = self.services.clone();
        let supervisor = self.supervisor.clone();
        let pool = self.pool.clone();
        let work = async move {
            if !items.is_empty() {
                record_and_answer(&services, &pool, &supervisor, items).await;
            }
            drop(ticket);
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

/// Records a batch; where PostgreSQL refuses it, or it cannot be decided for an internal error, its
/// halves, so that one item costs the others nothing.
async fn record_and_answer(
    services: &Arc<Services>,
    pool: &Pool,
    supervisor: &Addr<DispatcherSupervisor>,
    items: Vec<Mapped>,
) {
    let mut parts = VecDeque::from([items]);
    while let Some(mut items) = parts.pop_front() {
        match as_failure(record(services, pool, supervisor, &items)).await {
            Ok(verdicts) => {
                for (item, verdict) in items.into_iter().zip(verdicts) {
                    count(&verdict);
                    // The caller may have hung up; the verdict stands all the same.
                    let _ = item.reply.send(Ok(verdict));
                }
            }
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::warn!(%error, requests = items.len(), "requests get 503: nothing was recorded");
                answer_all(items, NotDurable::StoreAway);
            }
            Err(error) if items.len() == 1 => {
                let inbound_id = items[0].inbound.inbound_id;
                tracing::error!(%error, %inbound_id, "a request cannot be recorded");
                answer_all(items, NotDurable::Refused);
            }
            Err(_) => {
                let second_half = items.split_off(items.len() / 2);
                parts.push_front(second_half);
                parts.push_front(items);
            }
        }
    }
}

async fn record(
    services: &Arc<Services>,
    pool: &Pool,
    supervisor: &Addr<DispatcherSupervisor>,
    items: &[Mapped],
) -> Result<Vec<Verdict>, StoreError> {
    let keys = plan::keys(items);
    let mut tries = 0;
    let outcome = loop {
        let catalogue = services.catalogue();
        let now = services.now();
        let circumstances =
            Circumstances { catalogue: &catalogue, slots: &services.slots, node: services.node, now };
        let started = Instant::now();
        // A commit whose answer was lost may have happened, and its deliveries are claimed by this node
        // then, which does not send them.
        let mut born_claimed = None;
        let decide = |ledger| {
            let (recording, outcome) = plan::decide(items, ledger, &circumstances);
            let claimed = outcome.claimed.iter().map(|(one, _)| one.delivery_id);
            born_claimed = Some(services.doubts.with_birth(claimed.collect()));
            (recording, outcome)
        };
        let result = conversions::record(pool, services.node, now, &keys, decide).await;
        metrics::histogram!("ricochet_record_seconds").record(started.elapsed());
        tries += 1;
        match result {
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            result => {
                born_claimed.into_iter().for_each(Asked::is_answered);
                match result {
                    Err(StoreError::Raced(_)) if tries < TRIES => {}
                    result => break result?,
                }
            }
        }
    };
    let waiting: BTreeSet<_> = outcome.waiting;
    if !outcome.claimed.is_empty() {
        let held = outcome.claimed.into_iter().map(|(delivery, slot)| Held::new(services, delivery, slot));
        supervisor.do_send(Send(held.collect()));
    }
    if !waiting.is_empty() {
        supervisor.do_send(Due(waiting.into_iter().collect()));
    }
    Ok(outcome.verdicts)
}

fn answer_all(items: Vec<Mapped>, reason: NotDurable) {
    for item in items {
        let _ = item.reply.send(Err(reason));
    }
}

pub(super) fn count(verdict: &Verdict) {
    metrics::counter!(
        "ricochet_inbound_requests_total", "verdict" => verdict.code(), "reason" => verdict.reason_code()
    )
    .increment(1);
}
