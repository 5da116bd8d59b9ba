//! `ricochet serve`, and what it shares with `ricochet dev`.

use std::io::IsTerminal as _;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::config::{ConfigError, Settings};
use crate::{metrics, panics};

pub fn run(settings: &Settings) -> anyhow::Result<()> {
    init_logging("info")?;
    let metrics = metrics::install()?;
    panics::watch();
    actix::System::new().block_on(async {
        let app = App::start(settings, metrics).await?;
        until_told_to_stop().await?;
        app.stop().await;
        Ok(())
    })
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn until_told_to_stop() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Logs to standard error, as `RICOCHET_LOG` and `RICOCHET_LOG_FORMAT` say.
pub fn init_logging(default_filter: &str) -> anyhow::Result<()> {
    let invalid =
        |variable, value: &str, expected| ConfigError::Invalid { variable, value: value.into(), expected };
    let filter = std::env::var("RICOCHET_LOG").unwrap_or_else(|_| default_filter.to_owned());
    // At `debug` tokio_postgres writes out the values of every statement, and so whatever a sender
    // put into its fields. Who wants that names it: tokio_postgres=debug comes later and wins.
    let filter = EnvFilter::try_new(format!("tokio_postgres=warn,{filter}"))
        .map_err(|_| invalid("RICOCHET_LOG", &filter, "a filter such as info or ricochet=debug"))?;
    let format = std::env::var("RICOCHET_LOG_FORMAT").unwrap_or_else(|_| "text".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format.as_str() {
        "json" => subscriber.json().flatten_event(true).init(),
        "text" => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        other => return Err(invalid("RICOCHET_LOG_FORMAT", other, "text or json").into()),
    }
    Ok(())
}
