//! Shows people how this node finds its destinations: a row each in PostgreSQL, so that any node
//! answers for all, and sums for Prometheus. Nothing is decided by it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::services::Services;
use super::slots::Slots;
use crate::domain::destination::Snapshot;
use crate::domain::destination::breaker::State;
use crate::domain::destination::moment::Moment;
use crate::domain::ids::PostbackId;
use crate::store::StoreError;
use crate::store::destination_states::{self, DestinationState};

/// Between looks; a breaker that opens or closes is seen this much later.
pub const EVERY: Duration = Duration::from_secs(2);
/// How often what always changes, such as the time of the last success, is worth a write.
const SMALL_CHANGES: Duration = Duration::from_secs(20);
/// Most rows of one statement.
const ROWS: usize = 1_000;

/// What was written of each destination, and when. Bound: as many as there are places.
#[derive(Default)]
pub struct DestinationReporter {
    written: Mutex<HashMap<PostbackId, (Instant, DestinationState)>>,
}

impl DestinationReporter {
    /// Writes what has changed.
    pub async fn report(&self, services: &Services) -> Result<(), StoreError> {
        let states = states(&services.slots, services.now());
        count(&states);
        let now = Instant::now();
        let changed: Vec<DestinationState> = {
            let written = self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_news = |state: &DestinationState| match written.get(&state.postback_id) {
                None => true,
                Some((at, before)) => {
                    matters(before) != matters(state) || (before != state && now - *at >= SMALL_CHANGES)
                }
            };
            states.into_iter().filter(is_news).collect()
        };
        for rows in changed.chunks(ROWS) {
            destination_states::write(&services.pool, services.node, rows).await?;
            let mut written = self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            written.extend(rows.iter().map(|state| (state.postback_id, (now, state.clone()))));
        }
        Ok(())
    }
}

/// What people wait for.
fn matters(state: &DestinationState) -> impl PartialEq + use<> {
    // The failures up to the breaker's opening; after that they only go on.
    let failures = state.consecutive_failures.min(5);
    (state.breaker, state.held_until, state.concurrency, state.max_in_flight, state.rate_per_second, failures)
}

/// How this node finds its destinations now.
pub fn states(slots: &Slots, now: DateTime<Utc>) -> Vec<DestinationState> {
    slots
        .all()
        .into_iter()
        .map(|(postback, destination)| {
            let (snapshot, moment) = destination.snapshot();
            state(postback, &snapshot, moment, now)
        })
        .collect()
}

/// How it finds one of them, if it has ever asked for it.
pub fn state_of(slots: &Slots, postback: PostbackId, now: DateTime<Utc>) -> Option<DestinationState> {
    let (snapshot, moment) = slots.known(postback)?.snapshot();
    Some(state(postback, &snapshot, moment, now))
}

/// `moment` and `now` are the same time, on the node's clock and on the wall's.
fn state(
    postback_id: PostbackId,
    snapshot: &Snapshot,
    moment: Moment,
    now: DateTime<Utc>,
) -> DestinationState {
    let whole = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let future = |at: Moment| to_the_hundredth(now + at.since(moment));
    let past = |at: Moment| to_the_hundredth(now - moment.since(at));
    DestinationState {
        postback_id,
        breaker: snapshot.state,
        probe_at: snapshot.probe_at.map(future),
        held_until: snapshot.held_until.map(future),
        in_flight: whole(snapshot.in_flight),
        concurrency: whole(snapshot.concurrency),
        max_in_flight: whole(snapshot.limits.max_in_flight),
        rate_per_second: snapshot.limits.rate.map(|rate| rate.per_second),
        consecutive_failures: i32::try_from(snapshot.consecutive_failures).unwrap_or(i32::MAX),
        last_success_at: snapshot.last_success_at.map(past),
        last_failure_at: snapshot.last_failure_at.map(past),
    }
}

/// The two clocks are read one after the other: without rounding, no time would be the same twice.
fn to_the_hundredth(time: DateTime<Utc>) -> DateTime<Utc> {
    let rounded = (time.timestamp_micros() + 5_000).div_euclid(10_000) * 10_000;
    DateTime::from_timestamp_micros(rounded).unwrap_or(time)
}

/// Three series, however many destinations there are: a label for each postback would grow with
/// the network. Which ones are open is for GraphQL to say.
fn count(states: &[DestinationState]) {
    for breaker in State::ALL {
        let count = states.iter().filter(|state| state.breaker == *breaker).count();
        metrics::gauge!("ricochet_destinations", "breaker" => breaker.code()).set(count as f64);
    }
    let held = states.iter().filter(|state| state.held_until.is_some()).count();
    metrics::gauge!("ricochet_destinations_held").set(held as f64);
}
