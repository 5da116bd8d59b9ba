//! Takes log batches from PostgreSQL to ClickHouse.
//!
//! A shipment's contents are fixed before it is sent and its id is the deduplication token, so
//! a shipment sent twice (a node died, an answer was lost) is in ClickHouse once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::TryFutureExt as _;

use super::queue_floor::{QueueFloor, Reading};
use super::services::Services;
use crate::event_log::names::NameBook;
use crate::event_log::retention::LogRetention;
use crate::event_log::rows::{Log, decode};
use crate::panics::caught;
use crate::store::log_batches::{self, Shipment};
use crate::store::{migrations, names};

/// After each log: together about a second, so a row is in ClickHouse about that long after its
/// commit. Each insert costs ClickHouse a few parts and their fsync, however few rows it has; one
/// straight after the other, they would keep a core from those who wait for answers for that much longer.
const PAUSE: Duration = Duration::from_millis(1_000 / Log::ALL.len() as u64);
/// Between tries while ClickHouse is away.
const AWAY_ROUND: Duration = Duration::from_secs(1);
/// After this, another node takes a shipment over.
const SHIPMENT_LEASE: Duration = Duration::from_secs(60);

/// How long a shipment that ClickHouse refuses is put aside.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// Bound: one shipment at a time; what waits is in PostgreSQL.
pub struct LogShipper {
    services: Arc<Services>,
    database_url: String,
    retention: LogRetention,
    /// ClickHouse has its tables, as far as we know.
    is_migrated: bool,
    /// Of each log.
    floors: Floors,
    /// The names ClickHouse has heard.
    book: NameBook,
}

type Floors = [QueueFloor<i64>; Log::ALL.len()];

/// How a round ended.
enum Round {
    Done,
    /// ClickHouse did not take it; nothing is lost.
    Away,
}

impl LogShipper {
    pub fn new(services: Arc<Services>, database_url: String, retention: LogRetention) -> Self {
        Self {
            services,
            database_url,
            retention,
            is_migrated: false,
            floors: Floors::default(),
            book: NameBook::default(),
        }
    }

    fn next_round(&mut self, ctx: &mut Context<Self>) {
        let services = self.services.clone();
        let database_url = self.database_url.clone();
        let retention = self.retention;
        let is_migrated = self.is_migrated;
        let mut floors = self.floors.clone();
        // Where ClickHouse may have been emptied, it is told every name again.
        let mut book = if is_migrated { std::mem::take(&mut self.book) } else { NameBook::default() };
        let round = caught(async move {
            if services.slots.is_closed() {
                // Stopping: the last shipment is the app's to make.
                return (Round::Away, floors, book);
            }
            if !is_migrated && let Err(error) = prepare(&services, &database_url, retention).await {
                note_reachability(&services, &format!("{error:#}"), false);
                return (Round::Away, floors, book);
            }
            // Names first, so that no row is there without them; but what ClickHouse has against a
            // name keeps no row back.
            let round = match tell_names(&services, &mut book).await {
                Naming::Away => Round::Away,
                Naming::Refused => {
                    ship_all(&services, &mut floors, PAUSE).await;
                    Round::Away
                }
                Naming::Done => ship_all(&services, &mut floors, PAUSE).await,
            };
            (round, floors, book)
        });
        ctx.spawn(round.into_actor(self).map(|round, this, ctx| {
            let (round, floors, book) = round.unwrap_or_else(|error| {
                tracing::error!(%error, "a round of shipping the log was ended; another begins");
                (Round::Away, Floors::default(), NameBook::default())
            });
            this.floors = floors;
            this.book = book;
            // After any trouble the tables are looked at again: ClickHouse may have been emptied.
            this.is_migrated = matches!(round, Round::Done);
            let wait = if this.is_migrated { Duration::ZERO } else { AWAY_ROUND };
            ctx.run_later(wait, Self::next_round);
        }));
    }
}

impl Actor for LogShipper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.next_round(ctx);
    }
}

/// Makes sure that ClickHouse has its tables, and keeps them as long as is set.
async fn prepare(services: &Services, database_url: &str, retention: LogRetention) -> anyhow::Result<()> {
    migrations::run(database_url, &services.log).await?;
    let changed = retention.apply(&services.log).await?;
    if !changed.is_empty() {
        tracing::info!(tables = ?changed, "kept in ClickHouse for as long as is set now");
    }
    Ok(())
}

/// Ships what waits. Also called once more when the server stops.
pub async fn flush(services: &Services) {
    ship_all(services, &mut Floors::default(), Duration::ZERO).await;
}

/// Ships what waits of one log after the other, with a pause after each.
async fn ship_all(services: &Services, floors: &mut Floors, pause: Duration) -> Round {
    for (log, floor) in Log::ALL.into_iter().zip(floors) {
        loop {
            let began = Instant::now();
            let from = floor.start(began);
            let pool = &services.pool;
            let claimed = log_batches::horizon(pool)
                .and_then(async |horizon| {
                    let shipment =
                        log_batches::claim_shipment(pool, services.node, log, SHIPMENT_LEASE, from).await?;
                    Ok((horizon, shipment))
                })
                .await;
            let (horizon, shipment) = match claimed {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(%error, "log batches cannot be read");
                    return Round::Away;
                }
            };
            let now = Instant::now();
            let is_full = shipment.as_ref().is_some_and(|shipment| shipment.is_full);
            let reached = shipment.as_ref().and_then(|shipment| shipment.batch_ids.last().copied());
            floor.note(Reading { from, reached, horizon, is_full, took: now - began }, now);
            let Some(shipment) = shipment else {
                break;
            };
            if !ship(services, shipment).await {
                // It is taken up again at once, though it may end where this log is read from.
                floor.missed(Instant::now());
                return Round::Away;
            }
            // What came meanwhile goes with the next round: few large inserts, not many small.
            if !is_full {
                break;
            }
        }
        note_reachability(services, "", true);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
            if services.slots.is_closed() {
                return Round::Away;
            }
        }
    }
    Round::Done
}

/// Ships one shipment; false where it has to be tried again.
async fn ship(services: &Services, shipment: Shipment) -> bool {
    let mut lines = Vec::new();
    for payload in &shipment.payloads {
        match decode(payload) {
            Ok(batch) => lines.extend_from_slice(&batch),
            Err(error) => {
                // Left in PostgreSQL, where somebody can look at it.
                let _ = log_batches::put_aside(&services.pool, shipment.shipment_id, REFUSED_PAUSE).await;
                tracing::error!(%error, shipment = %shipment.shipment_id, "a log batch cannot be read");
                return false;
            }
        }
    }
    if let Err(error) = services.log.insert(shipment.log, shipment.shipment_id, lines).await {
        note_reachability(services, &error.to_string(), false);
        if !matches!(error, clickhouse::error::Error::Network(_)) {
            let _ = log_batches::put_aside(&services.pool, shipment.shipment_id, REFUSED_PAUSE).await;
        }
        return false;
    }
    metrics::counter!("ricochet_log_rows_shipped_total", "log" => shipment.log.table())
        .increment(shipment.row_count as u64);
    if let Err(error) = log_batches::finish_shipment(&services.pool, &shipment).await {
        tracing::warn!(%error, "a shipment that arrived is sent once more, and recognised");
        return false;
    }
    true
}

/// How telling names ended.
enum Naming {
    Done,
    /// One of the databases is away.
    Away,
    Refused,
}

/// Tells ClickHouse what has been renamed, where the catalogue has changed since the last time.
async fn tell_names(services: &Services, book: &mut NameBook) -> Naming {
    if book.is_of(services.catalogue().version) {
        return Naming::Done;
    }
    let names = match names::read(&services.pool).await {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(%error, "names for the log cannot be read");
            return Naming::Away;
        }
    };
    let lines = book.lines_to_tell(&names);
    if !lines.is_empty()
        && let Err(error) = services.log.insert_names(lines).await
    {
        if matches!(error, clickhouse::error::Error::Network(_)) {
            note_reachability(services, &error.to_string(), false);
            return Naming::Away;
        }
        tracing::warn!(%error, "ClickHouse refuses names; they are told again");
        return Naming::Refused;
    }
    book.note_told(names);
    Naming::Done
}

/// Says once when ClickHouse goes and once when it is back.
fn note_reachability(services: &Services, error: &str, is_reachable: bool) {
    let was_reachable = services.log_is_reachable.swap(is_reachable, Ordering::Relaxed);
    metrics::gauge!("ricochet_clickhouse_up").set(f64::from(u8::from(is_reachable)));
    match (was_reachable, is_reachable) {
        (true, false) => tracing::warn!(error, "ClickHouse does not take the log; it waits in PostgreSQL"),
        (false, true) => tracing::info!("the log goes to ClickHouse"),
        _ => tracing::debug!(error, is_reachable, "log shipping"),
    }
}
