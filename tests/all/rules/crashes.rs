//! A node that dies while it releases, processes again or settles: nothing is lost or done twice.

use std::time::Duration;

use futures_util::future::join_all;
use ricochet::domain::event::Event;
use ricochet::domain::ids::InboundId;
use ricochet::graphql::scope::Scope;
use ricochet::store::audit::Actor;
use ricochet::store::reprocessing;
use serde_json::{Value, json};

use super::reported;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

async fn report_all(world: &World, server: &Server, total: i64, report: impl Fn(i64) -> String) -> Vec<u16> {
    let requests = (0..total).map(|number| {
        let report = report(number);
        async move { world.report(server, &report).await.0 }
    });
    join_all(requests).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_requests_are_processed_again_neither_loses_nor_repeats() {
    const TOTAL: i64 = 600;
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let mut server = Server::start_with(&world.databases, &[("RICOCHET_REFUSALS_PER_SECOND", "0")]).await;
    let report = |number| format!("clickid=late&request_id=p-{number}&action=sale&status=approved");
    let statuses = report_all(&world, &server, TOTAL, report).await;
    assert!(statuses.iter().all(|status| *status == 422), "{statuses:?}");
    let click = server.url(&format!("/click/{}?clickid=late", world.fixed.1));
    assert_eq!(world.client.get(click).send().await.unwrap().status(), 302);
    world.until_settled().await;
    let query = "SELECT toString(inbound_id) FROM inbound_requests WHERE reason_code = 'unknown_click'";
    let ids: Vec<String> = world.databases.log.client().query(query).fetch_all().await.unwrap();
    let ids: Vec<InboundId> = ids.iter().map(|id| InboundId(id.parse().unwrap())).collect();
    assert_eq!(ids.len(), usize::try_from(TOTAL).unwrap());
    // All of them wait before the first is processed.
    server.kill();
    let (log, pool) = (&world.databases.log, &world.databases.pool);
    for ids in ids.chunks(100) {
        reprocessing::ask(log, pool, Scope::Everything, ids, Actor::CommandLine).await.unwrap();
    }
    server.restart().await;
    for part in [1, 2] {
        let query = format!("SELECT (count(*) >= {part})::int::bigint FROM conversions");
        world.until("a part is processed", &query, 1).await;
        server.kill();
        server.restart().await;
    }
    world.until("nothing waits", "SELECT count(*) FROM reprocessing", 0).await;
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, TOTAL);
    assert_eq!(world.count("SELECT count(*) FROM conversion_history").await, TOTAL);
    assert_eq!(world.logged("door = 'reprocess' AND verdict = 'accepted'").await, TOTAL.unsigned_abs());
    assert_eq!(world.logged("door = 'reprocess' AND verdict != 'accepted'").await, 0);
    let delivered = world.attempts(&server, usize::try_from(TOTAL).unwrap()).await;
    let delivered = delivered.iter().filter(|attempt| attempt["outcome"] == "DELIVERED").count();
    assert_eq!(delivered, usize::try_from(TOTAL).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_settlement_pays_each_conversion_once() {
    // Thirty transactions, so that one of them is the first and not the last.
    const TOTAL: i64 = 6_000;
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Payout]).await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let items: Vec<Value> = (0..TOTAL)
        .map(|number| json!({"click_id": click, "request_id": format!("s-{number}"), "action": "sale", "status": "approved"}))
        .collect();
    let url = server.url("/api/v1/conversions");
    let answer = world.client.post(url).bearer_auth(&world.api_key).json(&items).send().await.unwrap();
    assert_eq!(answer.status(), 200);

    let settle = json!({ "query": "mutation { settle(filter: {}) { conversions } }" });
    let settle = async |server: &Server| {
        let request = world.client.post(server.url("/graphql")).bearer_auth(&world.owner_token).json(&settle);
        request.timeout(Duration::from_secs(60)).send().await.ok()?.json::<Value>().await.ok()
    };
    let settled = "SELECT count(*) FROM conversions WHERE settled_at IS NOT NULL";
    let (cut_off, ()) = tokio::join!(settle(&server), async {
        // A part is committed, and the rest is not.
        eventually("a part is settled", async || (world.count(settled).await > 0).then_some(())).await;
        nix::sys::signal::kill(server.pid(), nix::sys::signal::Signal::SIGKILL).unwrap();
    });
    assert_eq!(cut_off, None, "the node died before it was through");
    server.kill();
    let before = world.count(settled).await;
    assert!((1..TOTAL).contains(&before), "{before}");
    server.restart().await;
    let rest = settle(&server).await.unwrap();
    assert_eq!(rest["data"]["settle"]["conversions"], TOTAL - before);

    assert_eq!(world.count(settled).await, TOTAL);
    let payouts = "SELECT count(*) FROM conversion_history WHERE 'payout' = ANY(events)";
    assert_eq!(world.count(payouts).await, TOTAL);
    let attempts = world.attempts(&server, usize::try_from(TOTAL).unwrap()).await;
    let delivered = attempts.iter().filter(|attempt| attempt["outcome"] == "DELIVERED").count();
    assert_eq!(delivered, usize::try_from(TOTAL).unwrap());
    let report = format!("click_id={click}&request_id=s-0&action=sale&status=approved");
    assert_eq!(reported(&world, &server, &report).await["duplicate"], true);
}
