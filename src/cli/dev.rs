//! `ricochet dev`: the engines, the server and a demo, all on this machine.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::serve::{init_logging, until_told_to_stop};
use crate::app::App;
use crate::config::Settings;
use crate::demo::{self, Demo};
use crate::embedded::{self, EngineOptions, Engines};
use crate::{metrics, panics};

#[derive(Debug, Args)]
pub struct DevArgs {
    /// Create a demo network, start a demo tracker and show one conversion on its way.
    #[arg(long)]
    demo: bool,
    /// Where the engines' data, the demo's keys and logs are kept.
    #[arg(long, default_value = ".ricochet", value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the server listens.
    #[arg(long, env = "RICOCHET_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
}

pub fn run(args: &DevArgs) -> anyhow::Result<()> {
    init_logging("warn,ricochet=info,ricochet::store=warn")?;
    check_port(args.listen)?;
    let outside_database = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    let outside_clickhouse = std::env::var("CLICKHOUSE_URL").ok().filter(|url| !url.is_empty());
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("cannot create {}; choose another --data-dir", args.data_dir.display()))?;
    let data_dir = args.data_dir.canonicalize().context("the data directory")?;

    let engines = match (&outside_database, &outside_clickhouse) {
        // Nothing to start, so nothing to install either.
        (Some(_), Some(_)) => None,
        _ => Some(Engines::start(EngineOptions {
            data_dir: data_dir.clone(),
            postgres: outside_database.is_none(),
            clickhouse: outside_clickhouse.is_none(),
            engine_program: std::env::current_exe().context("the path of this program")?,
        })?),
    };
    let own_database = engines.as_ref().and_then(Engines::database_url);
    let is_own_postgres = own_database.is_some();
    // People and their programs are told of the one, the server takes the other.
    let database_url = outside_database.clone().or(own_database).context("PostgreSQL has no address")?;
    let database_socket_url = outside_database.or_else(|| engines.as_ref()?.database_socket_url());
    let database_socket_url = database_socket_url.context("PostgreSQL has no address")?;
    let clickhouse_url = outside_clickhouse.or_else(|| engines.as_ref()?.clickhouse_url());
    let clickhouse_url = clickhouse_url.context("ClickHouse has no address")?;
    let settings = settings(args, &data_dir, database_socket_url, clickhouse_url)?;
    let ran = run_server(args, &data_dir, &settings, is_own_postgres, &database_url);
    let stopped = engines.map_or(Ok(()), Engines::stop);
    ran?;
    Ok(stopped?)
}

fn run_server(
    args: &DevArgs,
    data_dir: &Path,
    settings: &Settings,
    is_own_postgres: bool,
    database_url: &str,
) -> anyhow::Result<()> {
    let metrics = metrics::install()?;
    panics::watch();
    actix::System::new().block_on(async {
        if is_own_postgres && let Err(error) = embedded::wal::make_ready(&settings.database_url).await {
            tracing::warn!(%error, "the first minutes under load will be bumpy");
        }
        let app = App::start(settings, metrics).await?;
        let demo =
            if args.demo { Some(Demo::start(&app, settings, database_url, data_dir).await?) } else { None };
        if let Some(demo) = &demo {
            demo::walkthrough::show(demo.file()).await?;
        } else {
            println!("Ricochet listens on http://{}. Ctrl-C stops it.", app.address);
        }
        until_told_to_stop().await?;
        println!("Stopping…");
        app.stop().await;
        if let Some(demo) = demo {
            demo.stop().await;
        }
        Ok(())
    })
}

fn settings(
    args: &DevArgs,
    data_dir: &Path,
    database_url: String,
    clickhouse_url: String,
) -> anyhow::Result<Settings> {
    let mut values = crate::config::environment();
    values.insert("DATABASE_URL".into(), database_url);
    values.insert("CLICKHOUSE_URL".into(), clickhouse_url);
    values.insert("RICOCHET_LISTEN".into(), args.listen.to_string());
    if values.get("RICOCHET_MASTER_KEY").is_none_or(|keys| keys.trim().is_empty()) {
        values.insert("RICOCHET_MASTER_KEY".into(), embedded::master_key(data_dir)?);
    }
    // The demo's tracker, and whatever else is tried out here, is on this machine.
    values.entry("RICOCHET_OUTBOUND_ALLOWED_NETWORKS".into()).or_insert_with(|| "127.0.0.0/8,::1".into());
    if !values.contains_key("RICOCHET_GRAPHIQL_DIR") {
        // The page is a convenience; without it the API answers all the same.
        match embedded::graphiql_dir() {
            Ok(folder) => {
                values.insert("RICOCHET_GRAPHIQL_DIR".into(), folder.display().to_string());
            }
            Err(error) => tracing::warn!(%error, "GET /graphql will have no page"),
        }
    }
    Ok(Settings::from_values(values)?)
}

/// Says that the port is taken before the engines are started for nothing.
fn check_port(listen: SocketAddr) -> anyhow::Result<()> {
    TcpListener::bind(listen).map(drop).with_context(|| {
        format!("cannot listen on {listen}; if another program uses the port, choose one with --listen 127.0.0.1:PORT")
    })
}
