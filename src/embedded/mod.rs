//! The development engines: a real PostgreSQL and a real ClickHouse without installing either.
//!
//! Both come from the npm registry, pinned by `engines/package-lock.json`, and run as child
//! processes on loopback. They are for trying, developing and testing on one linux-x64
//! machine; `DATABASE_URL` and `CLICKHOUSE_URL` name real servers instead, and whoever has
//! both never comes here.
//!
//! ```text
//! ricochet ── Engines ─┬─ install        npm ci into a cache shared by every checkout
//!                      ├─ Postgres       initdb, postgres; as root: as `nobody`
//!                      └─ ClickHouse     this binary again as `ricochet clickhouse-engine`,
//!                                        which loads libchdb.so
//! ```
//!
//! Nothing outlives ricochet: PostgreSQL has a parent-death signal, ClickHouse serves until its
//! standard input ends, and a start first waits for what a killed run left behind. Everything
//! here blocks; async callers use `spawn_blocking`.

mod account;
mod clickhouse;
mod clickhouse_config;
mod clickhouse_engine;
mod data_dir;
mod error;
mod install;
mod log_file;
mod loopback_http;
mod postgres;
mod process;
pub mod wal;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

pub use clickhouse_engine::{CLICKHOUSE_ENGINE_COMMAND, clickhouse_engine_main};
pub use error::{EngineError, Result};

use clickhouse::ClickHouse;
use data_dir::DataDir;
use postgres::Postgres;
use process::Spawner;

use crate::store::network::random_secret;

pub struct EngineOptions {
    /// Made if missing. As root its parents must let the user `nobody` pass.
    pub data_dir: PathBuf,
    pub postgres: bool,
    pub clickhouse: bool,
    /// The `ricochet` binary, for the process that runs ClickHouse: `current_exe()`, except in
    /// tests, whose own binary is another one.
    pub engine_program: PathBuf,
}

/// The running engines of one data directory. They stop when this is dropped.
pub struct Engines {
    postgres: Option<Mutex<Postgres>>,
    clickhouse: Option<Mutex<ClickHouse>>,
    // Dropped after the engines, in this order: the thread whose end would stop PostgreSQL,
    // then the claim on the directory.
    spawner: Spawner,
    _data_dir: DataDir,
}

impl Engines {
    /// Installs the engines if this machine has not got them, makes the data directory if there
    /// is none, and returns when both answer.
    pub fn start(options: EngineOptions) -> Result<Self> {
        check_platform()?;
        let data_dir = DataDir::claim(&options.data_dir)?;
        if options.postgres {
            Postgres::check_way_to(&data_dir)?;
        }
        let node_modules = install::ENGINES.node_modules()?;
        let spawner = Spawner::start()?;
        let start_postgres = || -> Result<Postgres> {
            let mut postgres = Postgres::prepare(&data_dir, &node_modules)?;
            postgres.start(&spawner)?;
            Ok(postgres)
        };
        let start_clickhouse = || -> Result<ClickHouse> {
            let mut clickhouse = ClickHouse::prepare(&data_dir, &node_modules, options.engine_program)?;
            clickhouse.start(&spawner)?;
            Ok(clickhouse)
        };
        let (postgres, clickhouse) = thread::scope(|scope| {
            let postgres = options.postgres.then(|| scope.spawn(start_postgres));
            let clickhouse = options.clickhouse.then(start_clickhouse);
            (
                postgres.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
                clickhouse,
            )
        });
        // Both before either error: the one that runs is stopped by the drop of `Self`.
        let (postgres, postgres_error) = split(postgres);
        let (clickhouse, clickhouse_error) = split(clickhouse);
        let engines = Self {
            postgres: postgres.map(Mutex::new),
            clickhouse: clickhouse.map(Mutex::new),
            spawner,
            _data_dir: data_dir,
        };
        match postgres_error.or(clickhouse_error) {
            Some(error) => Err(error),
            None => Ok(engines),
        }
    }

    /// `postgres://user:password@127.0.0.1:port/ricochet`; `None` while it does not run.
    pub fn database_url(&self) -> Option<String> {
        self.postgres().ok()?.url()
    }

    /// The same by its socket, for whoever runs beside it: cheaper than loopback.
    pub fn database_socket_url(&self) -> Option<String> {
        self.postgres().ok()?.socket_url()
    }

    /// `http://user:password@127.0.0.1:port/ricochet`, the path being the database; `None`
    /// while it does not run. ClickHouse itself takes the database as a parameter or header.
    pub fn clickhouse_url(&self) -> Option<String> {
        self.clickhouse().ok()?.url()
    }

    /// The same for a user that only reads.
    pub fn clickhouse_reader_url(&self) -> Option<String> {
        self.clickhouse().ok()?.reader_url()
    }

    /// Starts it again after a stop, on the same port unless another program took it.
    pub fn start_postgres(&self) -> Result<()> {
        self.postgres()?.start(&self.spawner)
    }

    pub fn stop_postgres(&self) -> Result<()> {
        self.postgres()?.stop()
    }

    /// A power cut: every process gets SIGKILL.
    pub fn kill_postgres(&self) -> Result<()> {
        self.postgres()?.kill()
    }

    /// Starts it again after a stop, on the same port unless another program took it.
    pub fn start_clickhouse(&self) -> Result<()> {
        self.clickhouse()?.start(&self.spawner)
    }

    pub fn stop_clickhouse(&self) -> Result<()> {
        self.clickhouse()?.stop()
    }

    /// A power cut: SIGKILL.
    pub fn kill_clickhouse(&self) -> Result<()> {
        self.clickhouse()?.kill()
    }

    /// Stops both. Close connections first: ClickHouse waits seconds for open ones.
    pub fn stop(self) -> Result<()> {
        self.stop_both()
    }

    fn stop_both(&self) -> Result<()> {
        let clickhouse = if self.clickhouse.is_some() { self.stop_clickhouse() } else { Ok(()) };
        let postgres = if self.postgres.is_some() { self.stop_postgres() } else { Ok(()) };
        clickhouse.and(postgres)
    }

    fn postgres(&self) -> Result<MutexGuard<'_, Postgres>> {
        let postgres = self.postgres.as_ref().ok_or(EngineError::NotRequested { engine: "PostgreSQL" })?;
        Ok(postgres.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn clickhouse(&self) -> Result<MutexGuard<'_, ClickHouse>> {
        let clickhouse =
            self.clickhouse.as_ref().ok_or(EngineError::NotRequested { engine: "ClickHouse" })?;
        Ok(clickhouse.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        if let Err(error) = self.stop_both() {
            tracing::warn!("The embedded engines did not stop cleanly: {error}");
        }
    }
}

/// The `node_modules` folder that holds the files of the GraphiQL page, installed if needed.
/// Works on every platform, and without the engines.
pub fn graphiql_dir() -> Result<PathBuf> {
    install::GRAPHIQL.node_modules()
}

/// The master key of this data directory, for `RICOCHET_MASTER_KEY`: made once, readable by its
/// owner only.
pub fn master_key(data_dir: &Path) -> Result<String> {
    data_dir::secret_in(&data_dir.join("master_key"), || random_secret(""))
}

fn check_platform() -> Result<()> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Ok(());
    }
    let libc = if cfg!(target_env = "musl") { " with musl" } else { "" };
    let platform = format!("{}-{}{libc}", std::env::consts::OS, std::env::consts::ARCH);
    Err(EngineError::UnsupportedPlatform { platform })
}

fn split<T>(outcome: Option<Result<T>>) -> (Option<T>, Option<EngineError>) {
    match outcome {
        None => (None, None),
        Some(Ok(engine)) => (Some(engine), None),
        Some(Err(error)) => (None, Some(error)),
    }
}
