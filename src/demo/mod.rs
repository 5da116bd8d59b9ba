//! The demo: everything `ricochet dev --demo` needs beside the server itself.

pub mod file;
mod network;
pub mod tracker;
pub mod walkthrough;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;

use crate::app::App;
use crate::config::Settings;
use crate::store::pool;
use file::DemoFile;
use tracker::TrackerHandle;

/// The demo network, with its tracker running.
pub struct Demo {
    file: DemoFile,
    tracker: TrackerHandle,
}

impl Demo {
    /// Starts the tracker, makes the network unless it is there from an earlier start, and
    /// writes `demo.json` into the data directory.
    ///
    /// `database_url` is how PostgreSQL is reached by whoever reads that file.
    pub async fn start(
        app: &App,
        settings: &Settings,
        database_url: &str,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let path = data_dir.join("demo.json");
        let pool = pool::build(&settings.database_url, 1)?;
        let earlier = DemoFile::read(&path)?;
        let tracker = start_tracker(earlier.as_ref(), data_dir).await?;
        let tracker_url = format!("http://{}", tracker.addr);
        let kept = match earlier {
            Some(earlier) => network::revive(&pool, earlier, &tracker_url).await?,
            None => None,
        };
        let mut file = match kept {
            Some(kept) => kept,
            None => network::create(&pool, &tracker_url).await?,
        };
        file.move_to(&format!("http://{}", reachable(app.address)));
        database_url.clone_into(&mut file.database_url);
        file.clickhouse_url.clone_from(&settings.clickhouse_url);
        file.write(&path)?;
        app.refresh_catalogue().await.context("the demo network cannot be read back")?;
        Ok(Self { file, tracker })
    }

    pub fn file(&self) -> &DemoFile {
        &self.file
    }

    pub async fn stop(self) {
        self.tracker.stop().await;
    }
}

/// An address of this machine, where the server listens on all of them.
fn reachable(listens_on: SocketAddr) -> SocketAddr {
    match listens_on.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], listens_on.port())),
        false => listens_on,
    }
}

/// On the port it had, so that what is still to be delivered finds it; else on any.
async fn start_tracker(earlier: Option<&DemoFile>, data_dir: &Path) -> anyhow::Result<TrackerHandle> {
    let log_file = data_dir.join("tracker.ndjson");
    let former =
        earlier.and_then(|file| file.tracker_url.strip_prefix("http://")?.parse::<SocketAddr>().ok());
    if let Some(former) = former
        && let Ok(tracker) = tracker::start(former, log_file.clone()).await
    {
        return Ok(tracker);
    }
    tracker::start(SocketAddr::from(([127, 0, 0, 1], 0)), log_file).await
}
