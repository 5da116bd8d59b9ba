//! Two empty databases for each test, on engines that the tests of a run share; or engines of a
//! test's own, where it stops them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ricochet::embedded::{EngineOptions, Engines};
use ricochet::event_log::EventLog;
use ricochet::store::{Pool, migrations, pool};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

pub struct EnginePair {
    pub engines: Engines,
    _directory: TempDir,
}

/// The engines stop when the last test that uses them is through.
static SHARED: Mutex<Weak<EnginePair>> = Mutex::new(Weak::new());

impl EnginePair {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // As root, PostgreSQL runs as another user, who has to get in.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let engines = Engines::start(EngineOptions {
            data_dir: directory.path().to_owned(),
            postgres: true,
            clickhouse: true,
            engine_program: PathBuf::from(env!("CARGO_BIN_EXE_ricochet")),
        })
        .unwrap();
        Self { engines, _directory: directory }
    }

    fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engines) = shared.upgrade() {
            return engines;
        }
        let engines = Arc::new(Self::start());
        *shared = Arc::downgrade(&engines);
        engines
    }
}

/// A migrated database on each engine.
pub struct Databases {
    pub database_url: String,
    pub clickhouse_url: String,
    pub pool: Pool,
    pub log: EventLog,
    pub pair: Arc<EnginePair>,
}

impl Databases {
    pub async fn shared() -> Self {
        Self::on(EnginePair::shared()).await
    }

    /// On engines that this test may kill.
    pub async fn own() -> Self {
        Self::on(Arc::new(EnginePair::start())).await
    }

    /// On engines of their own, the log in the database `ricochet`: there the user `dash` has its
    /// grants.
    pub async fn readable() -> Self {
        Self::named(Arc::new(EnginePair::start()), "ricochet").await
    }

    async fn on(pair: Arc<EnginePair>) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        Self::named(pair, &name).await
    }

    async fn named(pair: Arc<EnginePair>, log_name: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let with_database = |url: Option<String>, name: &str| {
            let mut url = Url::parse(&url.unwrap()).unwrap();
            url.set_path(name);
            url
        };
        let admin = pool::build(&pair.engines.database_url().unwrap(), 1).unwrap();
        admin.get().await.unwrap().batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let database_url = with_database(pair.engines.database_url(), &name).to_string();
        let clickhouse_url = with_database(pair.engines.clickhouse_url(), log_name);
        let log = EventLog::new(&clickhouse_url);
        migrations::run(&database_url, &log).await.unwrap();
        let pool = pool::build(&database_url, 4).unwrap();
        Self { database_url, clickhouse_url: clickhouse_url.to_string(), pool, log, pair }
    }
}
