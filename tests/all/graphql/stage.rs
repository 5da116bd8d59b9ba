//! Two empty, migrated databases for one test, on engines that the tests of a run share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_graphql::{Request, Response};
use ricochet::embedded::{EngineOptions, Engines};
use ricochet::event_log::EventLog;
use ricochet::event_log::rows::{LogRow, decode, encode};
use ricochet::graphql::scope::{Grant, Principal};
use ricochet::graphql::{Schema, schema};
use ricochet::store::{Pool, migrations, pool};
use serde_json::Value;
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

struct SharedEngines {
    engines: Engines,
    _directory: TempDir,
}

/// The engines stop when the last test that uses them is through.
static ENGINES: Mutex<Weak<SharedEngines>> = Mutex::new(Weak::new());

fn engines() -> Arc<SharedEngines> {
    let mut shared = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engines) = shared.upgrade() {
        return engines;
    }
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
    let engines = Arc::new(SharedEngines { engines, _directory: directory });
    *shared = Arc::downgrade(&engines);
    engines
}

pub struct Stage {
    pub pool: Pool,
    pub log: EventLog,
    pub schema: Schema,
    _engines: Arc<SharedEngines>,
}

impl Stage {
    pub async fn set() -> Self {
        let engines = engines();
        let database = format!("test_{}", Uuid::new_v4().simple());
        let with_database = |url: Option<String>| {
            let mut url = Url::parse(&url.unwrap()).unwrap();
            url.set_path(&database);
            url
        };
        let admin = pool::build(&engines.engines.database_url().unwrap(), 1).unwrap();
        admin.get().await.unwrap().batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let database_url = with_database(engines.engines.database_url());
        let log = EventLog::new(&with_database(engines.engines.clickhouse_url()));
        migrations::run(database_url.as_str(), &log).await.unwrap();
        let pool = pool::build(database_url.as_str(), 4).unwrap();
        let schema = schema(pool.clone(), log.clone());
        Self { pool, log, schema, _engines: engines }
    }

    pub async fn log_rows<R: LogRow>(&self, rows: impl IntoIterator<Item = R>) {
        let batch = encode(rows).unwrap();
        self.log.insert(batch.log, Uuid::new_v4(), decode(&batch.payload).unwrap()).await.unwrap();
    }

    pub async fn execute(&self, grant: Grant, query: &str) -> Response {
        let principal = Principal { token_id: Uuid::nil(), grant };
        self.schema.execute(Request::new(query).data(principal)).await
    }

    /// The data of a query that must succeed.
    pub async fn data(&self, grant: Grant, query: &str) -> Value {
        let response = self.execute(grant, query).await;
        assert!(response.errors.is_empty(), "{query}: {:?}", response.errors);
        response.data.into_json().unwrap()
    }

    /// One field of every row that a list holds on its first page, oldest first.
    pub async fn found(&self, grant: Grant, list: &str, filter: &str, field: &str) -> Vec<String> {
        let query = format!(
            "{{ list: {list}(filter: {{ {filter} }}) {{ totalCount edges {{ node {{ {field} }} }} }} }}"
        );
        let data = self.data(grant, &query).await;
        let edges = data["list"]["edges"].as_array().unwrap();
        assert_eq!(data["list"]["totalCount"], edges.len(), "{filter}");
        edges.iter().rev().map(|edge| edge["node"][field].as_str().unwrap().to_owned()).collect()
    }
}

/// The code and field of the only error of a response.
pub fn refusal(response: &Response) -> (String, String) {
    let [error] = response.errors.as_slice() else { panic!("not one error: {:?}", response.errors) };
    let extension = |name: &str| {
        let value = error.extensions.as_ref().and_then(|values| values.get(name)).cloned();
        value.map_or(String::new(), |value| value.into_json().unwrap().as_str().unwrap().to_owned())
    };
    (extension("code"), extension("field"))
}
