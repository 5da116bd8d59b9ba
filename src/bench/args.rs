//! What the bench is told, on the command line and by the demo's file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::http::ServerUrl;
use super::report::SettingsReport;
use super::schedule::{Extent, Pace, Plan};

const DEFAULT_CONCURRENCY: u32 = 32;
const DEFAULT_DURATION_S: u64 = 10;
const DEFAULT_LOG_ROUNDS: u16 = 20;
const DEFAULT_ISOLATION_ROUNDS: u16 = 3;

/// What is done at the server's door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Conversions are reported, and their postbacks received
    #[default]
    Conversions,
    /// A link is clicked, and the redirect awaited
    Clicks,
}

/// Measure a running server: report conversions, receive their postbacks, say how long both took
///
/// Adds an advertiser, an offer and postbacks of its own to the server's database, reports
/// conversions at the server's HTTP door, and receives the postbacks in a sink on 127.0.0.1
/// (the server must allow private destinations). At the end its key is revoked and its
/// postbacks are deleted. The exit code is 1 if an accepted conversion's postback never came.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The file `ricochet dev --demo` writes; it says where the server and its database are
    #[arg(long, value_name = "FILE", default_value = ".ricochet/demo.json")]
    pub demo_file: PathBuf,
    /// The server, such as http://127.0.0.1:8080, in place of the demo file's
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The server's PostgreSQL (without TLS), in place of the demo file's
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// What to measure; of clicks, `--conversions` and the rates count clicks
    #[arg(long, value_enum, default_value_t)]
    pub door: Door,

    /// Open loop: conversions a second, whether or not answers come; latency counts from the
    /// moment each was due
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "concurrency",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Closed loop: connections that each send as soon as they have an answer [default: 32]
    #[arg(long, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub concurrency: Option<u32>,
    /// Connections of the open loop; when all wait for answers, arrivals are sent late but
    /// still counted from when they were due [default: an eighth of the rate, 4 to 256]
    #[arg(long, value_name = "N", conflicts_with = "concurrency",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: Option<u32>,

    /// Seconds to measure [default: 10]
    #[arg(long, value_name = "SECONDS", conflicts_with = "conversions",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub duration_s: Option<u64>,
    /// Conversions to measure, in place of a duration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub conversions: Option<u64>,
    /// Seconds of load before measuring; their conversions count for losses, not for times
    #[arg(long, value_name = "SECONDS", default_value_t = 2,
          value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warmup_s: u64,
    /// Longest wait after the load until all postbacks have come
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub drain_s: u64,

    /// Postbacks each conversion causes, each a destination of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub offer_postbacks: u16,
    /// Milliseconds the sink takes for each answer
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub sink_delay_ms: u64,
    /// Clicks made beforehand, which the conversions share
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clicks: u32,

    /// A healthy destination at 50/s: alone, beside one that gets 400/s and takes 2 s each, and beside
    /// 1,000 that hang; by turns, each for as long as a measurement is to take
    #[arg(long, group = "repeated", conflicts_with_all = ["rate", "concurrency", "connections", "conversions", "offer_postbacks", "sink_delay_ms"])]
    pub isolation: bool,

    /// How long pages, counts and quantiles of the log take over the GraphQL door, on the rows that the
    /// server has; fill it with `ricochet seed` first. The exit code is 1 if a target is missed
    #[arg(long, group = "repeated", conflicts_with_all = ["rate", "concurrency", "connections", "conversions", "duration_s",
                                      "offer_postbacks", "sink_delay_ms"])]
    pub log: bool,
    /// How often each question of `--log` is asked of each of its values [default: 20], or each
    /// measurement of `--isolation` is made [default: 3]
    #[arg(long, value_name = "N", requires = "repeated",
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: Option<u16>,

    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The arguments, checked and completed.
#[derive(Clone)]
pub struct Settings {
    pub door: Door,
    pub server: ServerUrl,
    pub database_url: String,
    pub plan: Plan,
    pub connections: usize,
    pub postbacks: usize,
    pub sink_delay: Duration,
    pub clicks: u32,
    pub drain: Duration,
    pub isolation: bool,
    pub log: bool,
    pub rounds: usize,
    pub leftovers: Leftovers,
    pub json: Option<PathBuf>,
}

/// Deliveries that still wait when a measurement is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// They are made in their time, like anybody's.
    Kept,
    /// They would disturb the next measurement.
    Withdrawn,
}

/// What the bench needs of the demo's file; the rest is not its business.
#[derive(Debug, Deserialize)]
struct DemoFile {
    base_url: String,
    database_url: String,
}

impl Settings {
    pub fn resolve(args: BenchArgs) -> anyhow::Result<Self> {
        let (url, database_url) = match (args.url, args.database_url) {
            (Some(url), Some(database_url)) => (url, database_url),
            (url, database_url) => {
                let demo = DemoFile::read(&args.demo_file)?;
                (url.unwrap_or(demo.base_url), database_url.unwrap_or(demo.database_url))
            }
        };
        let (pace, connections) = match args.rate {
            Some(rate_per_second) => {
                // An eighth of a second each: no connection is idle so long that the server
                // closes it, and a server that answers within that time never makes one wait.
                let connections = args.connections.unwrap_or((rate_per_second / 8).clamp(4, 256));
                (Pace::Open { rate_per_second }, connections)
            }
            None => (Pace::Closed, args.concurrency.unwrap_or(DEFAULT_CONCURRENCY)),
        };
        let extent = match args.conversions {
            Some(conversions) => Extent::Conversions(conversions),
            None => Extent::Duration(Duration::from_secs(args.duration_s.unwrap_or(DEFAULT_DURATION_S))),
        };
        // A click causes no postback of the bench's.
        let postbacks = match args.door {
            Door::Conversions => usize::from(args.offer_postbacks),
            Door::Clicks => 0,
        };
        Ok(Self {
            door: args.door,
            server: ServerUrl::parse(&url)?,
            database_url,
            plan: Plan { pace, extent, warmup: Duration::from_secs(args.warmup_s) },
            connections: usize::try_from(connections)?,
            postbacks,
            sink_delay: Duration::from_millis(args.sink_delay_ms),
            clicks: args.clicks,
            drain: Duration::from_secs(args.drain_s),
            isolation: args.isolation,
            log: args.log,
            rounds: usize::from(args.rounds.unwrap_or(match args.isolation {
                true => DEFAULT_ISOLATION_ROUNDS,
                false => DEFAULT_LOG_ROUNDS,
            })),
            leftovers: Leftovers::Kept,
            json: args.json,
        })
    }

    /// The same server under another load.
    pub fn with(&self, rate_per_second: u32, postbacks: usize, sink_delay: Duration, plan: Plan) -> Self {
        Self {
            plan: Plan { pace: Pace::Open { rate_per_second }, ..plan },
            connections: usize::try_from((rate_per_second / 8).clamp(4, 256)).unwrap_or(4),
            postbacks,
            sink_delay,
            json: None,
            ..self.clone()
        }
    }

    /// The settings as the report repeats them; the database's URL holds a password and is left out.
    pub fn describe(&self, run: &str) -> SettingsReport {
        let (conversions, duration_s) = match self.plan.extent {
            Extent::Conversions(conversions) => (Some(conversions), None),
            Extent::Duration(duration) => (None, Some(duration.as_secs())),
        };
        SettingsReport {
            run: run.to_owned(),
            door: self.door,
            server: self.server.to_string(),
            rate_per_second: match self.plan.pace {
                Pace::Open { rate_per_second } => Some(rate_per_second),
                Pace::Closed => None,
            },
            connections: self.connections,
            conversions,
            duration_s,
            warmup_s: self.plan.warmup.as_secs(),
            drain_s: self.drain.as_secs(),
            offer_postbacks: self.postbacks,
            sink_delay_ms: u64::try_from(self.sink_delay.as_millis()).unwrap_or(u64::MAX),
            clicks: self.clicks,
        }
    }
}

impl DemoFile {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let remedy = "start `ricochet dev --demo` first, or give --url and --database-url";
        let text =
            std::fs::read(path).with_context(|| format!("{} cannot be read; {remedy}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a demo file; {remedy}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(arguments: &[&str]) -> Result<BenchArgs, clap::Error> {
        let places = ["bench", "--url", "http://127.0.0.1:1", "--database-url", "postgres://x"];
        Cli::try_parse_from(places.iter().chain(arguments)).map(|cli| cli.bench)
    }

    #[test]
    fn a_rate_is_an_open_loop_and_nothing_said_is_a_closed_one() {
        let open = Settings::resolve(parse(&["--rate", "1000"]).unwrap()).unwrap();
        assert_eq!((open.plan.pace, open.connections), (Pace::Open { rate_per_second: 1000 }, 125));
        let closed = Settings::resolve(parse(&[]).unwrap()).unwrap();
        assert_eq!((closed.plan.pace, closed.connections), (Pace::Closed, 32));
        assert_eq!(closed.plan.extent, Extent::Duration(Duration::from_secs(10)));
        assert!(parse(&["--rate", "1", "--concurrency", "1"]).is_err());
        assert!(parse(&["--rate", "0"]).is_err());
    }

    #[test]
    fn rounds_are_of_what_is_repeated() {
        let rounds =
            |arguments: &[&str]| parse(arguments).map(|args| Settings::resolve(args).unwrap().rounds);
        assert_eq!(rounds(&["--isolation"]).unwrap(), 3);
        assert_eq!(rounds(&["--isolation", "--rounds", "5"]).unwrap(), 5);
        assert_eq!(rounds(&["--log"]).unwrap(), 20);
        assert!(rounds(&["--rounds", "5"]).is_err());
        assert!(rounds(&["--log", "--isolation"]).is_err());
    }

    #[test]
    fn clicks_cause_no_postbacks() {
        let of = |arguments: &[&str]| Settings::resolve(parse(arguments).unwrap()).unwrap();
        let clicks = of(&["--door", "clicks"]);
        assert_eq!((clicks.door, clicks.postbacks), (Door::Clicks, 0));
        let conversions = of(&[]);
        assert_eq!((conversions.door, conversions.postbacks), (Door::Conversions, 1));
    }

    #[test]
    fn flags_win_over_the_demo_file() {
        let folder = tempfile::tempdir().unwrap();
        let demo_file = folder.path().join("demo.json");
        let demo =
            r#"{"base_url":"http://127.0.0.1:8080","database_url":"postgres://demo","owner_token":"t"}"#;
        std::fs::write(&demo_file, demo).unwrap();
        let args = BenchArgs { demo_file, database_url: None, ..parse(&[]).unwrap() };
        let settings = Settings::resolve(args).unwrap();
        assert_eq!(settings.database_url, "postgres://demo");
        assert_eq!(settings.server.to_string(), "http://127.0.0.1:1");
    }

    #[test]
    fn what_the_documentation_says_can_be_asked() {
        let document = include_str!("../../docs/benchmarks.md");
        let benches: Vec<_> = document
            .lines()
            .filter_map(|line| line.strip_prefix("target/release/ricochet "))
            .filter(|command| command.starts_with("bench "))
            .collect();
        assert!(!benches.is_empty());
        for command in benches {
            Cli::try_parse_from(command.split_whitespace()).map(drop).unwrap();
        }
    }

    #[test]
    fn a_missing_demo_file_names_the_remedy() {
        let mut args = parse(&["--demo-file", "/nowhere/demo.json"]).unwrap();
        args.url = None;
        let error = Settings::resolve(args).err().unwrap().to_string();
        assert!(error.contains("start `ricochet dev --demo` first"), "{error}");
    }
}
