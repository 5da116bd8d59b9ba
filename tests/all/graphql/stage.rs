//! The schema on two empty databases.

use async_graphql::{Request, Response};
use ricochet::event_log::EventLog;
use ricochet::event_log::rows::{LogRow, decode, encode};
use ricochet::graphql::scope::{Grant, Principal};
use ricochet::graphql::{Schema, schema};
use ricochet::store::Pool;
use serde_json::Value;
use uuid::Uuid;

use crate::support::databases::Databases;

pub struct Stage {
    pub pool: Pool,
    pub log: EventLog,
    pub schema: Schema,
    databases: Databases,
}

impl Stage {
    pub async fn set() -> Self {
        let databases = Databases::shared().await;
        let (pool, log) = (databases.pool.clone(), databases.log.clone());
        let schema = schema(pool.clone(), log.clone());
        Self { pool, log, schema, databases }
    }

    pub fn database_url(&self) -> &str {
        &self.databases.database_url
    }

    pub fn clickhouse_url(&self) -> &str {
        &self.databases.clickhouse_url
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
