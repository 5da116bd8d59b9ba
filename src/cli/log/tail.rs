//! `ricochet tail`: the log in the terminal, as it grows.
//!
//! A lost connection costs no attempt: the next one begins some minutes before the last sign of life, and
//! what was shown already is known by its id.

use std::collections::{HashSet, VecDeque};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::line::{Paint, line};
use super::since::Since;
use super::wire::{Broken, Said, Wire};
use crate::cli::deliveries::{Api, LogFilter};

#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    filter: LogFilter,
    /// Show first what came since: 90s, 10m, 2h, or a time such as 2026-11-21T00:00:00Z; at most a day.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// A JSON object a line, with every field.
    #[arg(long)]
    json: bool,
    /// End after so many attempts.
    #[arg(long, value_name = "ATTEMPTS")]
    limit: Option<u64>,
    #[command(flatten)]
    api: Api,
}

pub const EXAMPLES: &str = "Examples:
  ricochet tail
  ricochet tail --outcome failed,retrying --since 10m
  ricochet tail --offer 0198d5f0-0000-7000-8000-000000000000 --json | jq .url";

const FIELD: &str = "postbackLogTail";
const QUERY: &str = "subscription Tail($filter: PostbackLogFilter, $since: DateTime) {
  postbackLogTail(filter: $filter, since: $since) {
    attemptId deliveryId postbackId owner partnerId advertiserId offerId linkId leadId clickId txid action event status
    amount currency payout payoutCurrency country device method url requestHeaders requestBody outcome reason
    errorKind attempt responseCode responseBody startedAt queuedUs dnsUs connectUs tlsUs firstByteUs totalUs peerIp
    httpVersion isTest recordedAt droppedBefore pastLeftOut
  }
}";

/// How far before the last sign of life a new connection begins: longer than an attempt lasts.
const OVERLAP: TimeDelta = TimeDelta::minutes(3);
/// How long ids are remembered, by the server's clock; longer than the overlap.
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);
/// The longest past the server shows, with a little room.
const LONGEST_PAST: TimeDelta = TimeDelta::minutes(24 * 60 - 5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why it ended well.
enum Ended {
    Limit,
    /// Whoever read has seen enough, such as `head`.
    NoReader,
}

pub async fn run(args: &TailArgs) -> anyhow::Result<ExitCode> {
    let mut stop = std::pin::pin!(stop_signal());
    let mut shown = Shown { args, ids: HashSet::new(), order: VecDeque::new(), count: 0 };
    let mut place = Place { begins: None, alive_at: None };
    let mut pause = FIRST_PAUSE;
    loop {
        let broken = tokio::select! {
            () = &mut stop => return Ok(ExitCode::SUCCESS),
            outcome = follow(args, &mut shown, &mut place, &mut pause) => match outcome {
                Ok(Ended::Limit | Ended::NoReader) => return Ok(ExitCode::SUCCESS),
                Err(broken) => broken,
            },
        };
        let error = match broken {
            Broken::ForGood(error) => return Err(error),
            // Never connected: most likely the address is wrong.
            Broken::ForNow(error) if place.begins.is_none() => return Err(error),
            Broken::ForNow(error) => error,
        };
        eprintln!("ricochet: {error:#}; connecting again");
        tokio::select! {
            () = &mut stop => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Where the tail is, by the server's clock.
struct Place {
    /// Nothing before this is shown; `None` until the first connection.
    begins: Option<DateTime<Utc>>,
    /// When the server was last heard of.
    alive_at: Option<DateTime<Utc>>,
}

impl Place {
    /// Where to begin on a connection; `None`: with what is new.
    fn since(&mut self, args: &TailArgs, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match (self.begins, self.alive_at) {
            (Some(begins), alive_at) => {
                let resume = alive_at.map_or(begins, |alive_at| alive_at - OVERLAP);
                Some(resume.max(begins).max(now - LONGEST_PAST))
            }
            (None, _) => {
                let since = args.since.map(|since| since.at(now));
                self.begins = Some(since.unwrap_or(now));
                since
            }
        }
    }
}

async fn follow(
    args: &TailArgs,
    shown: &mut Shown<'_>,
    place: &mut Place,
    pause: &mut Duration,
) -> Result<Ended, Broken> {
    let mut wire = Wire::connect(args.api.url(), args.api.token()).await?;
    let clock = wire.clock;
    let since = place.since(args, Utc::now() + clock);
    let since = since.map(|since| since.to_rfc3339_opts(SecondsFormat::Micros, true));
    wire.subscribe(QUERY, json!({ "filter": args.filter.value(), "since": since })).await?;
    loop {
        let said = wire.next(FIELD).await?;
        place.alive_at = Some(Utc::now() + clock);
        *pause = FIRST_PAUSE;
        let Said::Item(attempt) = said else { continue };
        match shown.show(&attempt) {
            Ok(true) => {}
            Ok(false) => {
                wire.close().await;
                return Ok(Ended::Limit);
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Ended::NoReader),
            Err(error) => return Err(Broken::ForGood(error.into())),
        }
    }
}

/// What has been printed.
struct Shown<'a> {
    args: &'a TailArgs,
    ids: HashSet<Uuid>,
    /// The same with their times, in the order they were printed.
    order: VecDeque<(DateTime<Utc>, Uuid)>,
    count: u64,
}

impl Shown<'_> {
    /// Prints an attempt that was not printed before; whether there may be more.
    fn show(&mut self, attempt: &Value) -> std::io::Result<bool> {
        let dropped = attempt["droppedBefore"].as_u64().unwrap_or_default();
        if dropped > 0 {
            eprintln!(
                "ricochet: {dropped} attempts were left out, since they are not taken fast enough here"
            );
        }
        if attempt["pastLeftOut"] == true {
            eprintln!("ricochet: ClickHouse does not answer: of the past, only what waits for it is shown");
        }
        if !self.is_new(attempt) {
            return Ok(true);
        }
        let mut out = std::io::stdout().lock();
        if self.args.json {
            writeln!(out, "{attempt}")?;
        } else {
            writeln!(out, "{}", line(attempt, paint()))?;
        }
        out.flush()?;
        self.count += 1;
        Ok(self.args.limit.is_none_or(|limit| self.count < limit))
    }

    fn is_new(&mut self, attempt: &Value) -> bool {
        let id = attempt["attemptId"].as_str().and_then(|id| Uuid::try_parse(id).ok());
        let recorded_at = attempt["recordedAt"].as_str().and_then(|time| time.parse::<DateTime<Utc>>().ok());
        let (Some(id), Some(recorded_at)) = (id, recorded_at) else { return true };
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back((recorded_at, id));
        while let Some(&(time, old)) = self.order.front()
            && time < recorded_at - REMEMBERED
        {
            self.order.pop_front();
            self.ids.remove(&old);
        }
        true
    }
}

fn paint() -> Paint {
    let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if is_wanted && std::io::stdout().is_terminal() { Paint::Coloured } else { Paint::Plain }
}

/// Ctrl-C, or SIGTERM.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
