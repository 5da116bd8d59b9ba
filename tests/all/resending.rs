//! Deliveries sent again, sent late and cancelled; and the list of them.

mod by_filter;
mod by_id;
mod cancelling;
mod conditions;
mod documented;
mod late;
mod retention;

use ricochet::domain::event::Event;
use serde_json::Value;

use crate::support::server::Server;
use crate::support::tracker::{Manner, Tracker};
use crate::support::world::World;

impl World {
    async fn only_postback(&self) -> String {
        let db = self.databases.pool.get().await.unwrap();
        db.query_one("SELECT postback_id::text FROM postbacks", &[]).await.unwrap().get(0)
    }

    /// So many sales of one click, `r-0` and on.
    async fn sales(&self, server: &Server, click: &str, count: usize) {
        for number in 0..count {
            let report = format!("click_id={click}&request_id=r-{number}&action=sale&status=new");
            assert_eq!(self.report(server, &report).await.0, 200);
        }
    }

    async fn deliveries(&self, server: &Server, filter: &str) -> Vec<Value> {
        let query = format!(
            "{{ deliveries(filter: {{ {filter} }}) {{ totalCount edges {{ node {{
                 deliveryId postbackId event leadId state reason attempts nextAttemptAt resentFrom resendNumber
                 jobId revision txid offerId partnerId isTest isPostbackPaused }} }} }} }}"
        );
        let list = self.ask(server, &query).await["deliveries"].clone();
        let rows: Vec<Value> =
            list["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()).collect();
        assert_eq!(list["totalCount"], rows.len(), "{filter}");
        rows
    }
}

/// A world whose tracker has refused so many sales for good.
async fn refused_sales(count: usize) -> (World, Tracker, Server) {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("404 Not Found")).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, count).await;
    world.attempts(&server, count).await;
    (world, tracker, server)
}
