//! The connection to ClickHouse.

use actix_web::web::Bytes;
use clickhouse::Client;
use url::Url;
use uuid::Uuid;

use super::cluster;
use super::reader::fetch::fetch_one;
use super::rows::Log;

/// ClickHouse, with the database of the log chosen.
#[derive(Clone)]
pub struct EventLog {
    client: Client,
    database: String,
    /// The cluster its tables are spread over; `None` where they are on one server.
    cluster: Option<String>,
}

impl EventLog {
    /// From a URL such as `http://user:password@host:8123/database`; `ricochet` is the database
    /// where the path names none.
    pub fn new(url: &Url) -> Self {
        let mut address = url.clone();
        // Both fail only for URLs that cannot have credentials; HTTP ones can.
        let _ = address.set_username("");
        let _ = address.set_password(None);
        address.set_path("");
        let database = match url.path().trim_matches('/') {
            "" => "ricochet".to_owned(),
            name => name.to_owned(),
        };
        let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut client = Client::default().with_url(address.as_str()).with_database(&database);
        if !url.username().is_empty() {
            client = client.with_user(plain(url.username()));
        }
        if let Some(password) = url.password() {
            client = client.with_password(plain(password));
        }
        Self { client, database, cluster: None }
    }

    /// The same log with its tables spread over this cluster.
    pub fn on_cluster(self, cluster: Option<String>) -> Self {
        Self { cluster, ..self }
    }

    /// The name of the table that holds a table's rows.
    pub fn stored(&self, table: &str) -> String {
        if self.cluster.is_some() { cluster::local(table) } else { table.to_owned() }
    }

    /// What stands behind a table's name in statements for all servers.
    pub fn everywhere(&self) -> String {
        self.cluster.as_deref().map(cluster::everywhere).unwrap_or_default()
    }

    /// The client, for reading.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub async fn is_reachable(&self) -> bool {
        fetch_one::<u8>(self.client.query("SELECT 1")).await.is_ok()
    }

    pub async fn create_database(&self) -> Result<(), clickhouse::error::Error> {
        let statement = format!(
            "CREATE DATABASE IF NOT EXISTS `{}`{}",
            self.database.replace('`', ""),
            self.everywhere()
        );
        self.client.clone().with_database("default").query(&statement).execute().await
    }

    /// Runs a statement of a migration, on all servers there are.
    pub async fn migrate(&self, statement: &str) -> Result<(), clickhouse::error::Error> {
        match &self.cluster {
            None => self.define(statement).await,
            Some(cluster) => {
                for statement in cluster::clustered(statement, cluster) {
                    self.define(&statement).await?;
                }
                Ok(())
            }
        }
    }

    /// Runs a statement that defines something or fills it from what is there.
    pub async fn define(&self, statement: &str) -> Result<(), clickhouse::error::Error> {
        // `?` would be read as a parameter to bind.
        self.client
            .query(&statement.replace('?', "??"))
            // Only names of numbers and dates are meant by "suspicious"; ids repeat as names do.
            .with_setting("allow_suspicious_low_cardinality_types", "1")
            // What is filled again after an interruption is not to be taken for a repeat.
            .with_setting("insert_deduplicate", "0")
            .with_setting("mutations_sync", "1")
            .execute()
            .await
    }

    /// Inserts JSONEachRow lines. The same shipment inserted again changes nothing: the token
    /// and the fixed block make ClickHouse recognise it.
    pub async fn insert(
        &self,
        log: Log,
        shipment_id: Uuid,
        lines: Vec<u8>,
    ) -> Result<(), clickhouse::error::Error> {
        let lines = Bytes::from(lines);
        match self.insert_once(log, shipment_id, lines.clone()).await {
            // An idle connection may be closed by the server just as it is taken for this.
            Err(clickhouse::error::Error::Network(_)) => self.insert_once(log, shipment_id, lines).await,
            outcome => outcome,
        }
    }

    async fn insert_once(
        &self,
        log: Log,
        shipment_id: Uuid,
        lines: Bytes,
    ) -> Result<(), clickhouse::error::Error> {
        let statement = format!("INSERT INTO {} FORMAT JSONEachRow", log.table());
        let mut insert = self
            .client
            .insert_formatted_with(statement)
            .with_setting("insert_deduplication_token", shipment_id.to_string())
            .with_setting("insert_deduplicate", "1")
            // A view that the first try did not reach gets its rows by the second.
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with_setting("async_insert", "0")
            // One shipment is one block, however large: parallel parsing would cut it anywhere.
            .with_setting("input_format_parallel_parsing", "0")
            // With its views, it takes one core and leaves the others to those who wait for answers.
            .with_setting("max_threads", "1")
            .with_setting("max_insert_block_size", "1048576")
            .with_setting("input_format_skip_unknown_fields", "1");
        if self.cluster.is_some() {
            // Answered once every shard has its part.
            insert = insert.with_setting("distributed_foreground_insert", "1");
        }
        insert.send(lines).await?;
        insert.end().await
    }

    /// Inserts JSONEachRow lines into `names`, where a row told again changes nothing.
    pub async fn insert_names(&self, lines: Vec<u8>) -> Result<(), clickhouse::error::Error> {
        let insert = self.client.insert_formatted_with("INSERT INTO names FORMAT JSONEachRow");
        let mut insert = insert.with_setting("async_insert", "0");
        insert.send(lines.into()).await?;
        insert.end().await
    }
}
