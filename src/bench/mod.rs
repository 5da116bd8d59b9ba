//! `ricochet bench`: the yardstick. It reports conversions, receives their postbacks, and says
//! how long both took and what was lost or came twice. Or it clicks, and counts afterwards in the
//! database whether every redirect's click is there. Or it asks what dashboards ask ([`event_log`]).
//!
//! ```text
//! Network (PostgreSQL) ── offer, key, postbacks ──► server under test
//!                                                     ▲          │
//!               Load (own thread) ── GET …/s2s ───────┘          │ postbacks
//!                        │                                       ▼
//!                        └── sent, answered ──► Ledger ◄── arrived ── Sink (own thread)
//!                                                  │
//!                                                  └──► Report
//! ```
//!
//! It usually shares its machine with the server, so it is made cheap: hyper connections, two
//! single-threaded runtimes, no lock between the threads on the way of a request. It speaks plain HTTP
//! and PostgreSQL without TLS; it is meant for loopback and test networks.

mod args;
mod event_log;
mod http;
mod isolation;
mod ledger;
mod load;
mod network;
mod pacer;
mod probe;
mod progress;
mod report;
mod report_text;
mod schedule;
mod sink;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

pub use args::BenchArgs;

use args::{Door, Settings};
use ledger::Ledger;
use load::{Load, Summary, Target};
use network::Network;
use probe::{ServerMemory, load_average};
use progress::Progress;
use report::{Machine, Report};
use sink::Sink;

/// After the last expected arrival the sink listens this long for ones that come twice.
const LINGER: Duration = Duration::from_millis(500);
const DRAIN_CHECK: Duration = Duration::from_millis(20);
/// What a shell shows for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Ended by Ctrl-C or SIGTERM.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; the bench's key is revoked and its postbacks are deleted")]
struct Interrupted;

/// Runs the bench to its end. The exit code is 1 if an accepted conversion's postback never
/// came, a redirect's click is not in the database, or nothing was accepted at all.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::resolve(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(bench(&settings)) {
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{error}");
            Ok(ExitCode::from(INTERRUPTED))
        }
        result => result,
    }
}

async fn bench(settings: &Settings) -> anyhow::Result<ExitCode> {
    let (text, json, is_sound) = if settings.log {
        let report = event_log::run(settings).await?;
        (report.to_string(), serde_json::to_vec_pretty(&report)?, report.is_sound())
    } else if settings.isolation {
        let report = isolation::run(settings).await?;
        (report.to_string(), serde_json::to_vec_pretty(&report)?, report.is_sound())
    } else {
        let report = measure_once(settings).await?;
        (report.to_string(), serde_json::to_vec_pretty(&report)?, report.is_sound())
    };
    print!("{text}");
    if let Some(path) = &settings.json {
        std::fs::write(path, json).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One load with a network and a sink of its own, cleaned up afterwards in any case.
async fn measure_once(settings: &Settings) -> anyhow::Result<Report> {
    let run = format!("{:08x}", rand::random::<u32>());
    let ledger = Arc::new(Ledger::new(settings.postbacks));
    let sink = Sink::start(&run, ledger.clone(), settings.sink_delay)?;
    let network = Network::plan(&run, sink.port(), settings.postbacks);

    let outcome = tokio::select! {
        outcome = measure(settings, &run, &network, &ledger) => outcome,
        () = interrupted() => Err(Interrupted.into()),
    };
    // Also where the network was not created whole: this only touches the rows of this run.
    let retired = network.retire(&settings.database_url, settings.leftovers).await;
    sink.stop();
    let report = outcome?;
    retired?;
    Ok(report)
}

async fn measure(
    settings: &Settings,
    run: &str,
    network: &Network,
    ledger: &Arc<Ledger>,
) -> anyhow::Result<Report> {
    let server = settings.server.resolve().await?;
    network.create(&settings.database_url).await?;
    let target = match settings.door {
        Door::Conversions => {
            let clicks = network.click(&server, settings.clicks).await?;
            Target::new(server.clone(), network.api_key(), &clicks, run)
        }
        Door::Clicks => {
            // So that the server knows the link.
            network.click(&server, 1).await?;
            Target::clicks(server.clone(), network.link(), run)
        }
    };

    let memory_before = probe::resident_memory(&server).await;
    let load_before = load_average();
    let progress = Progress::start(ledger.clone(), &settings.plan);
    let summary = Load::start(target, settings.plan, settings.connections, ledger.clone())?.finish().await?;
    let memory_loaded = probe::resident_memory(&server).await;
    let load_after = load_average();
    drain(ledger, settings.drain).await;
    drop(progress);

    let memory = ServerMemory {
        before_bytes: memory_before,
        after_load_bytes: memory_loaded,
        after_drain_bytes: probe::resident_memory(&server).await,
    };
    let machine = Machine::describe(load_before, load_after);
    let mut report = report(settings, run, ledger, summary, machine, memory)?;
    if settings.door == Door::Clicks {
        // All but the one that was made beforehand.
        report.totals.recorded_clicks =
            Some(network.recorded_clicks(&settings.database_url).await?.saturating_sub(1));
    }
    Ok(report)
}

fn report(
    settings: &Settings,
    run: &str,
    ledger: &Ledger,
    summary: Summary,
    machine: Machine,
    memory: ServerMemory,
) -> anyhow::Result<Report> {
    if summary.taken == 0 {
        bail!("no request was made; give a longer --duration-s or a higher --rate");
    }
    Ok(Report::new(ledger, summary, settings.describe(run), machine, memory))
}

/// Waits until everything accepted has arrived, at most for `limit`.
async fn drain(ledger: &Ledger, limit: Duration) {
    let deadline = Instant::now() + limit;
    while !ledger.is_complete() {
        if Instant::now() >= deadline {
            return;
        }
        sleep(DRAIN_CHECK).await;
    }
    sleep(LINGER).await;
}

async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}
