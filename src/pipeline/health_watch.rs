//! Notes how destinations are doing, and tells their owner when one fails for long.
//!
//! ```text
//! outcome recorder ─► notes in memory ─► every 2 s: postback_health, over all nodes
//!                                             └─► transitions ─► log, metric, deliveries of the
//!                                                 platform's postbacks that subscribed to them
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::periodic::repeat;
use super::services::Services;
use crate::domain::event::{Cause, Event};
use crate::domain::facts::EventFacts;
use crate::domain::health::{Notes, Sign, Thresholds, Transition};
use crate::domain::ids::{ChangeId, DeliveryId, PostbackId};
use crate::domain::postback::{Owner, operational_subscribers};
use crate::domain::retry::Outcome;
use crate::store::StoreError;
use crate::store::deliveries::{Claimed, NewDelivery};
use crate::store::outcomes::AttemptRecord;
use crate::store::postback_health::{self, Failing};
use crate::store::recording::ChangeRow;

/// Between rounds: also the most that is lost with a node.
const ROUND: Duration = Duration::from_secs(2);

/// What this node has seen. Bound: a small entry for each postback it has sent to.
#[derive(Debug, Default)]
pub struct HealthNotes(Mutex<HashMap<PostbackId, Notes>>);

impl HealthNotes {
    /// Notes attempts that have been recorded.
    pub fn note(&self, attempts: &[AttemptRecord], now: DateTime<Utc>) {
        let mut notes = self.lock();
        for attempt in attempts {
            if let Some(sign) = sign_of(attempt) {
                notes.entry(PostbackId(attempt.row.postback_id)).or_default().add(sign, now);
            }
        }
    }

    /// What is news, which is no news any more.
    fn take(&self) -> HashMap<PostbackId, Notes> {
        let mut notes = self.lock();
        let news = notes.iter_mut().filter(|(_, notes)| notes.are_news());
        news.map(|(id, notes)| (*id, notes.written())).collect()
    }

    /// What could not be written.
    fn give_back(&self, unwritten: HashMap<PostbackId, Notes>) {
        let mut notes = self.lock();
        for (id, earlier) in unwritten {
            let later = notes.remove(&id).unwrap_or_default();
            notes.insert(id, earlier.before(later));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PostbackId, Notes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was never sent says nothing of its destination.
fn sign_of(attempt: &AttemptRecord) -> Option<Sign> {
    let error = || attempt.row.reason.clone();
    match attempt.outcome {
        Outcome::Delivered => Some(Sign::Success),
        Outcome::Retrying => Some(Sign::Failure { error: error(), is_given_up: false }),
        Outcome::Failed => Some(Sign::Failure { error: error(), is_given_up: true }),
        Outcome::Skipped => None,
    }
}

/// Starts the rounds on this thread. They end with it.
pub fn start(services: &Arc<Services>, thresholds: Thresholds) {
    let services = services.clone();
    repeat(ROUND, "the health of destinations is not kept", move || {
        let services = services.clone();
        async move { go_round(&services, thresholds).await }
    });
}

async fn go_round(services: &Services, thresholds: Thresholds) -> Result<(), StoreError> {
    let notes = services.health.take();
    let now = services.now();
    let telling = |transition: &Transition| tell(services, transition, now);
    let settled =
        postback_health::settle(&services.pool, services.node, now, thresholds, &notes, &telling).await;
    let (transitions, Failing(failing)) = match settled {
        Ok(settled) => settled,
        Err(error) => {
            services.health.give_back(notes);
            return Err(error);
        }
    };
    for (warnings, count) in ["0", "1", "2"].into_iter().zip(failing) {
        metrics::gauge!("ricochet_failing_postbacks", "warnings" => warnings).set(count);
    }
    for transition in &transitions {
        announce(services, transition);
    }
    Ok(())
}

/// The change that a transition is, and its deliveries.
fn tell(services: &Services, transition: &Transition, now: DateTime<Utc>) -> (ChangeRow, Vec<NewDelivery>) {
    let catalogue = services.catalogue();
    let owner = catalogue.postbacks.get(&transition.postback_id).map_or(Owner::Platform, |one| one.owner);
    let change_id = ChangeId(Uuid::now_v7());
    let facts = EventFacts::of_destination(transition, owner, change_id, now);
    let change = ChangeRow {
        change_id,
        lead_id: None,
        customer_id: None,
        status_from: None,
        status_to: None,
        events: vec![transition.event.code()],
        facts: serde_json::to_string(&facts).expect("facts are JSON"),
        cause: Cause::Request,
        actor: String::new(),
        note: String::new(),
    };
    let deliveries = operational_subscribers(&catalogue, transition.postback_id, transition.event)
        .map(|postback| NewDelivery {
            delivery_id: DeliveryId::of(change_id, postback.postback_id, transition.event.code()),
            postback_id: postback.postback_id,
            change_id,
            event: transition.event,
            lead_id: None,
            // Conditions are about conversions.
            is_claimed: Claimed::Waiting,
        })
        .collect();
    (change, deliveries)
}

fn announce(services: &Services, transition: &Transition) {
    let event = transition.event;
    metrics::counter!("ricochet_destination_events_total", "event" => event.code()).increment(1);
    let catalogue = services.catalogue();
    let owner = catalogue.postbacks.get(&transition.postback_id).map_or("", |postback| postback.owner.kind());
    let Transition { postback_id, since, reason, .. } = transition;
    match event {
        Event::DestinationRecovered => {
            tracing::info!(%postback_id, owner, %since, "a destination has recovered: {reason}");
        }
        Event::DestinationPaused => {
            tracing::warn!(%postback_id, owner, %since, "a postback was paused: {reason}");
        }
        _ => tracing::warn!(%postback_id, owner, %since, "a destination is failing: {reason}"),
    }
}
