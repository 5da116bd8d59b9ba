//! What was done gets recorded: whatever PostgreSQL says to it, and whatever else it is busy with.

mod long_transactions;
mod old_snapshot;
mod read_only;
mod refused;
mod unreadable;

use std::collections::HashMap;

use crate::support::eventually;
use crate::support::server::{Server, client};
use crate::support::tracker::Tracker;
use crate::support::world::World;

impl World {
    /// Reports so many sales of one click, `{name}-0` and on; each must be taken.
    async fn takes_sales(&self, server: &Server, click: &str, name: &str, count: usize) {
        for number in 0..count {
            let sale = format!("click_id={click}&request_id={name}-{number}&action=sale&status=new");
            assert_eq!(self.report(server, &sale).await.0, 200);
        }
    }

    /// The postback that calls this tracker.
    async fn postback_of(&self, tracker: &Tracker) -> String {
        let db = self.databases.pool.get().await.unwrap();
        let query = "SELECT postback_id::text FROM postbacks WHERE starts_with(url_template, $1)";
        db.query_one(query, &[&tracker.url]).await.unwrap().get(0)
    }

    /// `pausePostback` or `resumePostback`; the node heeds it from now on.
    async fn set(&self, server: &Server, mutation: &str, postback: &str) {
        let query = format!("mutation {{ {mutation}(postbackId: \"{postback}\") {{ postbackId }} }}");
        self.graphql(server, &self.owner_token, &query).await;
    }
}

/// How often a tracker was told of each conversion.
fn told(tracker: &Tracker) -> HashMap<String, usize> {
    let mut told = HashMap::new();
    for request in tracker.received() {
        *told.entry(request.parameter("txid").unwrap()).or_default() += 1;
    }
    told
}

fn assert_each_told_once(tracker: &Tracker, conversions: usize) {
    let told = told(tracker);
    assert_eq!(told.len(), conversions, "{told:?}");
    assert!(told.values().all(|times| *times == 1), "each is sent once: {told:?}");
}

async fn until_logged(server: &Server, text: &str) {
    eventually(&format!("the server says {text:?}"), || async { server.log().contains(text).then_some(()) })
        .await;
}

async fn until_metric(server: &Server, series: &str, value: &str) {
    eventually(&format!("{series} is {value}"), || async {
        let metrics = client().get(server.url("/metrics")).send().await.ok()?.text().await.ok()?;
        let found = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        (found == value).then_some(())
    })
    .await;
}
