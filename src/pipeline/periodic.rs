//! Small chores on a clock: each runs, waits, and runs again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context};
use chrono::Utc;

use super::destination_reporter::{self, DestinationReporter};
use super::lanes::Lanes;
use super::services::Services;
use crate::metrics::resident_memory_bytes;
use crate::panics::as_failure;
use crate::store::partitions::{self, Retention};
use crate::store::{StoreError, deliveries, log_batches, log_tails, used_signatures};

const CATALOGUE: Duration = Duration::from_secs(1);
const GAUGES: Duration = Duration::from_secs(5);
const SIGNATURES: Duration = Duration::from_secs(60);
const TAIL: Duration = Duration::from_secs(10);
const PARTITIONS: Duration = Duration::from_secs(3_600);
const LEISURE: u32 = 20;

/// An actor the node is nothing without. A panic ends its actor for good, and this kind cannot
/// be replaced while others hold its address.
pub struct Vital {
    name: &'static str,
    is_alive: Box<dyn Fn() -> bool>,
}

impl Vital {
    pub fn new<A: Actor<Context = Context<A>>>(name: &'static str, address: &Addr<A>) -> Self {
        let address = address.clone();
        Self { name, is_alive: Box::new(move || address.connected()) }
    }

    /// Ends the process if the actor is gone. Nothing is lost by it, as by any other death, and
    /// whoever runs the node starts it again; a node that goes on without would be worse.
    fn check(&self) {
        if !(self.is_alive)() {
            tracing::error!(actor = self.name, "a vital actor is gone; this node ends");
            std::process::exit(EXIT_SOFTWARE);
        }
    }
}

/// `EX_SOFTWARE` of sysexits.h: an internal error.
const EXIT_SOFTWARE: i32 = 70;

/// Starts all chores on this thread. They end with it.
pub fn start(services: &Arc<Services>, lanes: &Arc<Lanes>, retention: Retention, vital: Vec<Vital>) {
    repeat(CATALOGUE, "the catalogue is not refreshed", {
        let (services, lanes) = (services.clone(), lanes.clone());
        move || {
            vital.iter().for_each(Vital::check);
            let (services, lanes) = (services.clone(), lanes.clone());
            async move {
                lanes.mend();
                services.refresh_catalogue().await
            }
        }
    });
    repeat_at_leisure(GAUGES, "queue depths are not measured", {
        let services = services.clone();
        move || {
            let services = services.clone();
            async move { measure(&services).await }
        }
    });
    repeat_at_leisure(
        destination_reporter::EVERY,
        "how destinations are doing is not shown to other nodes",
        {
            let (services, reporter) = (services.clone(), Arc::new(DestinationReporter::default()));
            move || {
                let (services, reporter) = (services.clone(), reporter.clone());
                async move { reporter.report(&services).await }
            }
        },
    );
    repeat_at_leisure(SIGNATURES, "stale signatures are not forgotten", {
        let services = services.clone();
        move || {
            let services = services.clone();
            async move { used_signatures::forget_stale(&services.pool).await }
        }
    });
    repeat_at_leisure(TAIL, "what the live tail no longer needs is not removed", {
        let services = services.clone();
        move || {
            let services = services.clone();
            async move { log_tails::forget(&services.pool).await }
        }
    });
    repeat(PARTITIONS, "partitions are not kept", {
        let services = services.clone();
        move || {
            let services = services.clone();
            async move { keep_partitions(&services, retention).await }
        }
    });
}

/// Makes the partitions of the months ahead and drops what retention lets go.
pub async fn keep_partitions(services: &Services, retention: Retention) -> Result<(), StoreError> {
    for partition in partitions::keep(&services.pool, retention, services.now()).await? {
        tracing::info!(partition, "dropped a partition past its retention");
    }
    Ok(())
}

/// The same before a node serves. What cannot be done then is done later, as long as there is room for
/// what is recorded now.
pub async fn keep_first_partitions(services: &Services, retention: Retention) -> Result<(), StoreError> {
    match keep_partitions(services, retention).await {
        Err(error) if partitions::are_ready(&services.pool, services.now()).await? => {
            tracing::warn!(%error, "partitions of other months are kept later");
            Ok(())
        }
        result => result,
    }
}

async fn measure(services: &Services) -> Result<(), StoreError> {
    metrics::gauge!("process_resident_memory_bytes").set(resident_memory_bytes() as f64);
    let queue = deliveries::depth(&services.pool).await?;
    let age = |since: Option<chrono::DateTime<Utc>>| {
        since.map_or(0.0, |since| (services.now() - since).num_milliseconds().max(0) as f64 / 1_000.0)
    };
    metrics::gauge!("ricochet_queue_deliveries").set(queue.deliveries as f64);
    metrics::gauge!("ricochet_queue_oldest_due_seconds").set(age(queue.oldest_due));
    let backlog = log_batches::backlog(&services.pool).await?;
    metrics::gauge!("ricochet_log_backlog_rows").set(backlog.rows as f64);
    metrics::gauge!("ricochet_log_backlog_oldest_seconds").set(age(backlog.oldest));
    metrics::gauge!("ricochet_attempts_in_flight").set(services.slots.taken() as f64);
    Ok(())
}

/// Does a chore again and again on this thread, and complains once when it begins to fail, also where
/// that is a panic.
pub fn repeat<F, Fut>(every: Duration, complaint: &'static str, chore: F)
where
    F: Fn() -> Fut + 'static,
    Fut: Future<Output = Result<(), StoreError>>,
{
    repeat_after(complaint, chore, move |_| every);
}

/// The same for a chore that grows with what waits, or with what PostgreSQL cannot clear away while
/// somebody's transaction is older: it takes at most one part in [`LEISURE`] of all the time.
fn repeat_at_leisure<F, Fut>(every: Duration, complaint: &'static str, chore: F)
where
    F: Fn() -> Fut + 'static,
    Fut: Future<Output = Result<(), StoreError>>,
{
    repeat_after(complaint, chore, move |took| every.max(took * LEISURE));
}

fn repeat_after<F, Fut>(complaint: &'static str, chore: F, pause: impl Fn(Duration) -> Duration + 'static)
where
    F: Fn() -> Fut + 'static,
    Fut: Future<Output = Result<(), StoreError>>,
{
    actix::spawn(async move {
        let mut was_well = true;
        loop {
            let began = Instant::now();
            let result = as_failure(async { chore().await }).await;
            if let Err(error) = &result
                && was_well
            {
                tracing::warn!(%error, "{complaint}");
            }
            was_well = result.is_ok();
            tokio::time::sleep(pause(began.elapsed())).await;
        }
    });
}
