//! Records attempts in batches: the delivery's next state and its log row, in one transaction.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::batcher::Batcher;
use super::dispatcher::{ClaimDue, Dispatcher};
use super::services::Services;
use super::slots::Slot;
use crate::store::StoreError;
use crate::store::outcomes::{self, AttemptRecord};

/// Bound: as many attempts as destinations have places, for each holds its place until it is
/// recorded. While PostgreSQL is away they wait here and nothing more is sent.
pub struct OutcomeRecorder {
    services: Arc<Services>,
    batcher: Batcher<AttemptMade>,
    /// Between two batches.
    rest: Option<SpawnHandle>,
    /// Among those that wait is one for whose place a delivery waits.
    is_urgent: bool,
}

/// An attempt has been made and must be recorded.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttemptMade {
    pub record: AttemptRecord,
    pub slot: Slot,
    pub freed: Addr<Dispatcher>,
}

const LARGEST_BATCH: usize = 500;
/// From the end of a batch to the beginning of the next: nobody waits for these commits, and each
/// costs those that advertisers wait for a part of the disk and of PostgreSQL.
const REST: Duration = Duration::from_millis(4);
/// So many end the rest; so does one whose place is wanted.
const ENOUGH: usize = 32;
/// Between tries while PostgreSQL is away.
const RETRY_WAIT: Duration = Duration::from_millis(250);

impl OutcomeRecorder {
    pub fn new(services: Arc<Services>) -> Self {
        Self { services, batcher: Batcher::new(usize::MAX, LARGEST_BATCH), rest: None, is_urgent: false }
    }

    fn record_next_batch(&mut self, ctx: &mut Context<Self>) {
        let Some(batch) = self.batcher.next_batch() else {
            return;
        };
        self.is_urgent = self.batcher.waiting() > 0;
        let services = self.services.clone();
        let recording = async move {
            let (records, places): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|made| (made.record, (made.slot, made.freed))).unzip();
            record(&services, &records).await;
            for (slot, freed) in places {
                if slot.give_back().has_backlog() {
                    freed.do_send(ClaimDue);
                }
            }
        };
        ctx.spawn(recording.into_actor(self).map(|(), this, ctx| {
            this.rest = Some(ctx.run_later(REST, Self::go_on));
            this.end_rest_if_urgent(ctx);
        }));
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.rest = None;
        self.batcher.pipe_is_free();
        self.record_next_batch(ctx);
    }

    fn end_rest_if_urgent(&mut self, ctx: &mut Context<Self>) {
        if (self.is_urgent || self.batcher.waiting() >= ENOUGH)
            && let Some(rest) = self.rest.take()
        {
            ctx.cancel_future(rest);
            self.go_on(ctx);
        }
    }
}

/// Records, however long PostgreSQL is away: an attempt that was made must not be forgotten
/// while this process lives.
async fn record(services: &Services, records: &[AttemptRecord]) {
    let mut parts = vec![records];
    while let Some(part) = parts.pop() {
        match outcomes::record(&services.outcome_pool, services.node, services.now(), part).await {
            Ok(superseded) => {
                if superseded > 0 {
                    tracing::warn!(superseded, "attempts came back after their claims had lapsed");
                }
                part.iter().for_each(count);
                services.health.note(part, services.now());
            }
            Err(StoreError::Unavailable(_) | StoreError::Raced(_)) => {
                parts.push(part);
                tokio::time::sleep(RETRY_WAIT).await;
            }
            Err(error) if part.len() == 1 => {
                tracing::error!(%error, delivery = %part[0].delivery_id, "an attempt cannot be recorded");
            }
            Err(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push(second);
                parts.push(first);
            }
        }
    }
}

fn count(record: &AttemptRecord) {
    let row = &record.row;
    metrics::counter!("ricochet_attempts_total", "outcome" => row.outcome, "error_kind" => row.error_kind)
        .increment(1);
    metrics::histogram!("ricochet_attempt_seconds").record(Duration::from_micros(row.total_us));
    metrics::histogram!("ricochet_queued_seconds").record(Duration::from_micros(row.queued_us));
}

impl Actor for OutcomeRecorder {
    type Context = Context<Self>;
}

impl Handler<AttemptMade> for OutcomeRecorder {
    type Result = ();

    fn handle(&mut self, made: AttemptMade, ctx: &mut Self::Context) {
        self.is_urgent |= made.slot.is_wanted();
        if self.batcher.push(made).is_err() {
            unreachable!("the batcher has no bound of its own");
        }
        self.end_rest_if_urgent(ctx);
        self.record_next_batch(ctx);
    }
}
