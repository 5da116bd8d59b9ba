//! `ricochet seed`: a believable network with a past, for trying dashboards and measuring.
//!
//! ```text
//! Network (dice) ─► PostgreSQL
//!    │
//!    └─ Teller (own thread): click ─► conversion ─► changes ─► deliveries ─► attempts
//!                                   │ portions, two at most
//!                                   └─► ClickHouse (all four logs) and PostgreSQL (COPY)
//! ```
//!
//! One story is told of each click, and every database gets its part of it, so they agree with
//! each other. The same dice tell the same stories of the same days. Nothing of it is ever sent:
//! the postbacks are paused, and their hosts end in `.invalid`, which no resolver knows.

mod args;
mod copy;
mod dice;
mod network;
mod portion;
mod story;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use args::SeedArgs;

use crate::event_log::EventLog;
use crate::event_log::rows::Log;
use crate::store::{migrations, partitions, pool};
use args::Depth;
use dice::Dice;
use network::Network;
use portion::{Portion, Tables};
use story::Teller;

/// Bound of portions told and not yet written: the teller waits.
const PORTIONS: usize = 2;
/// A portion is full with so many rows of its largest log.
const PORTION_ROWS: usize = 50_000;

/// What was written.
#[derive(Debug, Default)]
struct Written {
    clicks: usize,
    conversion_events: usize,
    inbound: usize,
    attempts: usize,
}

pub async fn run(args: &SeedArgs) -> anyhow::Result<()> {
    let log = EventLog::new(&args.clickhouse_url.parse().context("CLICKHOUSE_URL is no URL")?);
    migrations::run(&args.database_url, &log).await?;
    let pool = pool::build(&args.database_url, 2)?;
    let mut dice = Dice::seeded(args.seed);
    let network = Arc::new(Network::plan(&mut dice, args.sizes()));
    refuse_what_is_used(&pool, args, &network).await?;

    let now = Utc::now();
    let from = now - TimeDelta::days(i64::from(args.days));
    partitions::make_since(&pool, from.date_naive(), now).await?;
    network.write(&pool, from).await?;
    let began = Instant::now();
    let written = tell_all(args, &pool, &log, network.clone(), dice, from, now).await?;
    let seconds = began.elapsed().as_secs_f64().max(0.001);
    println!(
        "Seeded {} clicks, {} inbound requests, {} conversion events and {} attempts of {} postbacks over {} days \
         in {seconds:.1} s: {:.0} attempts a second.",
        HumanCount(written.clicks as u64),
        HumanCount(written.inbound as u64),
        HumanCount(written.conversion_events as u64),
        HumanCount(written.attempts as u64),
        network.postbacks.len(),
        args.days,
        written.attempts as f64 / seconds
    );
    println!(
        "Its postbacks are paused and lead nowhere. Make a token with: ricochet token create --role owner"
    );
    Ok(())
}

/// A network that somebody works with is left alone unless they say otherwise.
async fn refuse_what_is_used(pool: &Pool, args: &SeedArgs, network: &Network) -> anyhow::Result<()> {
    let client = pool.get().await.context("PostgreSQL cannot be reached; check DATABASE_URL")?;
    let first = network.advertisers[0].id.0;
    let known = "SELECT EXISTS (SELECT FROM advertisers WHERE advertiser_id = $1)";
    if client.query_one(known, &[&first]).await?.get(0) {
        bail!("this network was seeded with --seed {} before; take another --seed to add more", args.seed);
    }
    let others = "SELECT count(*) FROM advertisers WHERE name NOT LIKE $1 || '%'";
    let others: i64 = client.query_one(others, &[&network::NAME_PREFIX]).await?.get(0);
    if others > 0 && !args.beside_others {
        bail!(
            "this network has {others} advertisers that were not seeded; take an empty database, or add \
             --beside-others to seed it all the same"
        );
    }
    Ok(())
}

async fn tell_all(
    args: &SeedArgs,
    pool: &Pool,
    log: &EventLog,
    network: Arc<Network>,
    dice: Dice,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<Written> {
    let tables = match args.depth() {
        Depth::Everything => Tables::LogAndState,
        Depth::LogOnly => Tables::LogOnly,
    };
    let (sender, mut portions) = mpsc::channel::<Portion>(PORTIONS);
    let stopped = Arc::new(AtomicBool::new(false));
    let clicks = args.clicks;
    let teller = std::thread::spawn({
        let stopped = stopped.clone();
        move || {
            let mut teller = Teller::new(network, dice, now);
            let mut portion = Portion::new(tables);
            for number in 0..clicks {
                portion.add(&teller.tell(moment(number, clicks, from, now)));
                if portion.rows() >= PORTION_ROWS {
                    let full = std::mem::replace(&mut portion, Portion::new(tables));
                    if stopped.load(Ordering::Relaxed) || sender.blocking_send(full).is_err() {
                        return;
                    }
                }
            }
            // Whoever listened has failed, and says why.
            let _ = sender.blocking_send(portion);
        }
    });
    let bar = ProgressBar::new(clicks).with_style(
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} clicks, {msg}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut written = Written::default();
    let result = async {
        while let Some(portion) = portions.recv().await {
            write(pool, log, &portion).await?;
            written.clicks += portion.count(Log::Clicks);
            written.conversion_events += portion.count(Log::ConversionEvents);
            written.inbound += portion.count(Log::InboundRequests);
            written.attempts += portion.count(Log::Attempts);
            bar.set_position(written.clicks as u64);
            bar.set_message(format!("{} attempts", HumanCount(written.attempts as u64)));
        }
        anyhow::Ok(())
    }
    .await;
    bar.finish_and_clear();
    stopped.store(true, Ordering::Relaxed);
    drop(portions);
    let told = teller.join();
    result?;
    if told.is_err() {
        bail!("the stories broke off; this is a fault of ricochet");
    }
    Ok(written)
}

async fn write(pool: &Pool, log: &EventLog, portion: &Portion) -> anyhow::Result<()> {
    let logs = async {
        for name in Log::ALL {
            if portion.count(name) > 0 {
                log.insert(name, Uuid::now_v7(), portion.lines(name).to_vec())
                    .await
                    .with_context(|| format!("ClickHouse does not take {}", name.table()))?;
            }
        }
        anyhow::Ok(())
    };
    let state = async { copy::write(pool, portion).await.context("PostgreSQL does not take the seed") };
    tokio::try_join!(logs, state)?;
    Ok(())
}

/// When a click happens: evenly over the days, and within a day most at noon and least at midnight.
fn moment(number: u64, clicks: u64, from: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    const SWING: f64 = 0.7;
    const DAY_S: f64 = 86_400.0;
    let even_s = (now - from).as_seconds_f64() * (number as f64 + 0.5) / clicks as f64;
    let time_of_day = (from.timestamp() as f64 + even_s).rem_euclid(DAY_S) / DAY_S;
    let turn = std::f64::consts::TAU;
    let bent_s = SWING * (turn * time_of_day).sin() / turn * DAY_S;
    let micros = ((even_s + bent_s) * 1e6) as i64;
    (from + TimeDelta::microseconds(micros)).clamp(from, now)
}
