//! Records attempts in batches: the delivery's next state and its log row, in one transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use uuid::Uuid;

use super::batcher::Batcher;
use super::dispatcher::{ClaimDue, Dispatcher};
use super::held::Held;
use super::services::Services;
use crate::domain::lease::CLAIM_LEASE;
use crate::panics::as_failure;
use crate::store::outcomes::{self, AttemptRecord};
use crate::store::{Pool, StoreError};

/// Bound: as many attempts as destinations have places, for each holds its place until it is
/// recorded. While PostgreSQL is away they wait here and nothing more is sent. What PostgreSQL
/// refuses is tried on beside the others, in its place as well.
pub struct OutcomeRecorder {
    services: Arc<Services>,
    batcher: Batcher<AttemptMade>,
    /// Of those that wait.
    pressure: Pressure,
    /// Between two batches.
    rest: Option<Rest>,
}

struct Rest {
    since: Instant,
    time: Duration,
    end: SpawnHandle,
}

/// How soon attempts are to be recorded.
#[derive(Default)]
struct Pressure {
    /// How many are of destinations that are well, or were not sent at all.
    pressing: usize,
    /// Among these is one for whose place a delivery waits.
    is_urgent: bool,
}

impl Pressure {
    /// Of so many of which nothing else is known.
    fn of(waiting: usize) -> Self {
        Self { pressing: waiting, is_urgent: waiting > 0 }
    }

    /// One that is pressing waits with those that wait.
    fn add(&mut self, is_wanted: bool) {
        self.pressing += 1;
        self.is_urgent |= is_wanted;
    }

    /// From the end of a batch to the beginning of the next.
    fn rest(&self) -> Duration {
        match self.pressing {
            _ if self.is_urgent => Duration::ZERO,
            ENOUGH.. => Duration::ZERO,
            1.. => REST,
            0 => LONG_REST,
        }
    }
}

/// An attempt has been made and must be recorded.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttemptMade {
    pub record: AttemptRecord,
    pub held: Held,
    pub freed: Addr<Dispatcher>,
}

const LARGEST_BATCH: usize = 500;
/// From the end of a batch to the beginning of the next: nobody waits for these commits, and each
/// costs those that advertisers wait for a part of the disk and of PostgreSQL.
const REST: Duration = Duration::from_millis(4);
/// The same while all that wait are of destinations that are not well: a thousand that time out together
/// are to cost those that are well few commits, and nothing is sent there again for a while.
const LONG_REST: Duration = Duration::from_millis(24);
/// So many that are pressing end the rest; so does one whose place is wanted.
const ENOUGH: usize = 32;
/// Between tries while PostgreSQL is away.
const RETRY_WAIT: Duration = Duration::from_millis(250);
/// How often a batch that another transaction came before is written again as it is, and after
/// what pause; then its halves are.
const RACES: u32 = 5;
const RACE_WAIT: Duration = Duration::from_millis(20);
/// Between tries of a single record that PostgreSQL refuses: twice as long each time, up to a
/// quarter of the lease that each of them renews.
const FIRST_INSISTENCE: Duration = Duration::from_secs(1);
const LONGEST_INSISTENCE: Duration = Duration::from_secs(CLAIM_LEASE.as_secs() / 4);

impl OutcomeRecorder {
    pub fn new(services: Arc<Services>) -> Self {
        let batcher = Batcher::new(usize::MAX, LARGEST_BATCH);
        Self { services, batcher, pressure: Pressure::default(), rest: None }
    }

    fn record_next_batch(&mut self, ctx: &mut Context<Self>) {
        let Some(batch) = self.batcher.next_batch() else {
            return;
        };
        self.pressure = Pressure::of(self.batcher.waiting());
        let services = self.services.clone();
        let recording = async move {
            let (records, places): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|made| (made.record, (made.held, made.freed))).unzip();
            let mut refused = record(&services, &records).await;
            for (record, (held, freed)) in records.into_iter().zip(places) {
                match refused.remove(&record.row.attempt_id) {
                    true => drop(actix::spawn(insist(services.clone(), record, held, freed))),
                    false => end(held, &freed),
                }
            }
        };
        ctx.spawn(recording.into_actor(self).map(|(), this, ctx| this.rest_since(Instant::now(), ctx)));
    }

    /// For as long as those that wait allow.
    fn rest_since(&mut self, since: Instant, ctx: &mut Context<Self>) {
        let time = self.pressure.rest();
        match time.checked_sub(since.elapsed()) {
            None | Some(Duration::ZERO) => self.go_on(ctx),
            Some(left) => self.rest = Some(Rest { since, time, end: ctx.run_later(left, Self::go_on) }),
        }
    }

    /// Those that wait have become more.
    fn rest_no_longer_than_allowed(&mut self, ctx: &mut Context<Self>) {
        if let Some(rest) = self.rest.take_if(|rest| self.pressure.rest() < rest.time) {
            ctx.cancel_future(rest.end);
            self.rest_since(rest.since, ctx);
        }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.rest = None;
        self.batcher.pipe_is_free();
        self.record_next_batch(ctx);
    }
}

fn end(held: Held, freed: &Addr<Dispatcher>) {
    if held.end().has_backlog() {
        freed.do_send(ClaimDue);
    }
}

/// Records, however long PostgreSQL is away: an attempt that was made must not be forgotten
/// while this process lives. Returns the ids of those attempts that PostgreSQL refused singly.
async fn record(services: &Services, records: &[AttemptRecord]) -> HashSet<Uuid> {
    let mut refused = HashSet::new();
    let mut is_told = false;
    let mut parts = vec![(records, 0)];
    while let Some((part, races)) = parts.pop() {
        match record_once(services, &services.outcome_pool, part).await {
            Ok(superseded) => note(services, part, superseded),
            Err(error @ StoreError::Unavailable(_)) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, attempts = records.len(), "attempts wait to be recorded");
                }
                parts.push((part, races));
                tokio::time::sleep(RETRY_WAIT).await;
            }
            // Who loses again and again may race against itself.
            Err(StoreError::Raced(_)) if races < RACES => {
                parts.push((part, races + 1));
                tokio::time::sleep(RACE_WAIT).await;
            }
            Err(error) if part.len() == 1 => {
                let delivery = part[0].delivery_id;
                tracing::error!(%error, %delivery, "an attempt was made and its record is refused; it is tried on");
                refused.insert(part[0].row.attempt_id);
            }
            Err(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push((second, 0));
                parts.push((first, 0));
            }
        }
    }
    refused
}

/// A panic over a batch is about one of its attempts, which is found as one that PostgreSQL refuses is.
async fn record_once(
    services: &Services,
    pool: &Pool,
    records: &[AttemptRecord],
) -> Result<usize, StoreError> {
    as_failure(outcomes::record(pool, services.node, services.now(), records)).await
}

fn unrecorded() -> metrics::Gauge {
    metrics::gauge!("ricochet_attempts_unrecorded")
}

/// Records one attempt that PostgreSQL has refused, without the texts in it that may be why; and
/// if not even so, again and again. Meanwhile it holds its place and its claim, so that it is not
/// sent again for want of a record.
async fn insist(services: Arc<Services>, record: AttemptRecord, held: Held, freed: Addr<Dispatcher>) {
    let gauge = unrecorded();
    gauge.increment(1);
    let (delivery, reduced) = (record.delivery_id, [record.reduced()]);
    let mut wait = FIRST_INSISTENCE;
    // Not by the connection on which all others are recorded.
    let pool = &services.pool;
    loop {
        match record_once(&services, pool, &reduced).await {
            Ok(superseded) => {
                tracing::warn!(%delivery, "an attempt is recorded without its texts");
                break note(&services, &reduced, superseded);
            }
            Err(error) => tracing::warn!(%error, %delivery, "an attempt is still not recorded"),
        }
        if let Err(error) = as_failure(outcomes::hold(pool, services.node, &reduced)).await {
            tracing::warn!(%error, %delivery, "the claim of an unrecorded attempt is not held");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_INSISTENCE);
    }
    gauge.decrement(1);
    end(held, &freed);
}

pub(super) fn note(services: &Services, records: &[AttemptRecord], superseded: usize) {
    if superseded > 0 {
        tracing::warn!(superseded, "attempts came back after their claims had lapsed");
    }
    records.iter().for_each(count);
    services.health.note(records, services.now());
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

    fn started(&mut self, _: &mut Self::Context) {
        unrecorded().set(0.0);
    }
}

impl Handler<AttemptMade> for OutcomeRecorder {
    type Result = ();

    fn handle(&mut self, made: AttemptMade, ctx: &mut Self::Context) {
        let slot = made.held.slot();
        // Where nothing was sent, the next one can go at once.
        let (is_pressing, is_wanted) = (slot.is_well() || !slot.is_begun(), slot.is_wanted());
        if self.batcher.push(made).is_err() {
            unreachable!("the batcher has no bound of its own");
        }
        if is_pressing {
            self.pressure.add(is_wanted);
            self.rest_no_longer_than_allowed(ctx);
        }
        self.record_next_batch(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_as_long_as_those_that_wait_allow() {
        let mut pressure = Pressure::of(0);
        assert_eq!(pressure.rest(), LONG_REST, "all are of destinations that are not well");
        for _ in 1..ENOUGH {
            pressure.add(false);
            assert_eq!(pressure.rest(), REST);
        }
        pressure.add(false);
        assert_eq!(pressure.rest(), Duration::ZERO, "they fill a batch");

        let mut pressure = Pressure::of(0);
        pressure.add(true);
        pressure.add(false);
        assert_eq!(pressure.rest(), Duration::ZERO, "a delivery waits for the place of one");
        assert_eq!(Pressure::of(1).rest(), Duration::ZERO, "it was more than a batch holds");
    }
}
