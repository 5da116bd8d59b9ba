//! What foreign words mean, what waits and is released, what is paid and told.

mod by_hand;
mod conditions;
mod crashes;
mod currencies;
mod events;
mod fields;
mod integrations;
mod names;
mod quarantine;
mod words;

use ricochet::domain::ids::AdvertiserId;
use uuid::Uuid;

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::world::World;

impl World {
    async fn advertiser(&self) -> AdvertiserId {
        let db = self.databases.pool.get().await.unwrap();
        let query = "SELECT advertiser_id FROM offers WHERE offer_id = $1";
        AdvertiserId(db.query_one(query, &[&self.fixed.0.0]).await.unwrap().get(0))
    }

    async fn execute(&self, statement: &str) {
        self.databases.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
    }

    /// The texts a query of one column finds.
    async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.databases.pool.get().await.unwrap().query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn until(&self, what: &str, query: &str, count: i64) {
        eventually(what, || async { (self.count(query).await == count).then_some(()) }).await;
    }

    /// Rows of the inbound log by a condition, once nothing is left to be shipped.
    async fn logged(&self, condition: &str) -> u64 {
        self.until_settled().await;
        let query = format!("SELECT count() FROM inbound_requests WHERE {condition}");
        self.databases.log.client().query(&query).fetch_one().await.unwrap()
    }

    /// The inbound id of the only request the log knows of by a condition.
    async fn logged_id(&self, condition: &str) -> Uuid {
        self.until_settled().await;
        let query = format!("SELECT toString(inbound_id) FROM inbound_requests WHERE {condition}");
        let id: String = self.databases.log.client().query(&query).fetch_one().await.unwrap();
        id.parse().unwrap()
    }
}

/// The events of all changes of a conversion, oldest first.
async fn events_of(world: &World, request_id: &str) -> Vec<String> {
    let query = format!(
        "SELECT array_to_string(events, '+') FROM conversion_history JOIN conversions USING (lead_id)
         WHERE request_id = '{request_id}' ORDER BY change_id"
    );
    world.texts(&query).await
}

async fn status_of(world: &World, request_id: &str) -> String {
    world
        .texts(&format!("SELECT status FROM conversions WHERE request_id = '{request_id}'"))
        .await
        .pop()
        .unwrap_or_default()
}

async fn reported(world: &World, server: &Server, parameters: &str) -> serde_json::Value {
    let (status, body) = world.report(server, parameters).await;
    assert!(matches!(status, 200 | 202), "{status} {body}");
    body
}
