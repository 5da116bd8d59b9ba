//! Deliveries sent again, sent late and cancelled; and the list of them.

mod by_filter;
mod by_id;
mod cancelling;
mod conditions;
mod documented;
mod late;
mod retention;

use ricochet::domain::event::Event;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, Tracker};
use crate::support::world::World;

impl World {
    pub async fn ask(&self, server: &Server, query: &str) -> Value {
        self.graphql(server, &self.owner_token, query).await
    }

    /// The code and the sentence of the only error of a request that must be refused.
    pub async fn refusal(&self, server: &Server, token: &str, query: &str) -> (String, String) {
        let request =
            self.client.post(server.url("/graphql")).bearer_auth(token).json(&json!({ "query": query }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let error = &answer["errors"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&error["extensions"]["code"]), text(&error["message"]))
    }

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

    async fn job(&self, server: &Server, job_id: &Value) -> Value {
        let query = format!(
            "{{ deliveryJobs(jobId: {job_id}) {{ edges {{ node {{ jobId kind state note expected matched made hastened
                 skipped {{ reason count }} }} }} }} }}"
        );
        self.ask(server, &query).await["deliveryJobs"]["edges"][0]["node"].clone()
    }

    pub async fn until_job(&self, server: &Server, job_id: &Value, state: &str) -> Value {
        eventually(&format!("job {job_id} is {state}"), || async {
            Some(self.job(server, job_id).await).filter(|job| job["state"] == state)
        })
        .await
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
