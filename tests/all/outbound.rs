//! Where postbacks do not go, and what is logged of those that go.

use ricochet::domain::event::Event;
use ricochet::domain::postback::{Owner, Scope};
use ricochet::store::network::{self, NewPostback};
use serde_json::Value;

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// Past the check at saving, as rows of older versions are.
async fn stored(world: &World, url: &str) {
    let postback = NewPostback {
        owner: Owner::Partner(world.partner),
        scope: Scope::Global,
        events: &[Event::Sale],
        url_template: url,
        retry_schedule_ms: Some(vec![100; 3]),
        timeout_ms: 10_000,
        max_in_flight: 4,
    };
    let db = world.databases.pool.get().await.unwrap();
    network::add_postback(&db, &postback).await.unwrap();
}

async fn logged(world: &World, server: &Server, count: usize) -> Vec<Value> {
    world.until_settled().await;
    let query =
        "{ postbackLog(first: 100) { edges { node { url outcome errorKind reason attempt responseCode peerIp
                   httpVersion dnsUs connectUs tlsUs firstByteUs totalUs requestHeaders requestBody } } } }";
    eventually("the attempts are in the log", || async {
        let log = world.graphql(server, &world.owner_token, query).await;
        let edges = log["postbackLog"]["edges"].as_array().unwrap().clone();
        let nodes: Vec<Value> = edges.into_iter().map(|edge| edge["node"].clone()).collect();
        Some(nodes).filter(|nodes| nodes.len() >= count)
    })
    .await
}

#[tokio::test]
async fn nothing_inside_the_network_is_called_however_it_is_written() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let port = tracker.url.rsplit(':').next().unwrap().to_owned();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LocalHost.",
        "tracker.localhost",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "user:secret@tracker.example",
    ];
    for host in hosts {
        stored(&world, &format!("http://{host}:{port}/p?cid={{clickid}}")).await;
    }
    stored(&world, "http://tracker.example:22/").await;
    let server = Server::start_with(&world.databases, &[("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "")]).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;

    let attempts = logged(&world, &server, hosts.len() + 1).await;
    assert_eq!(attempts.len(), hosts.len() + 1);
    for attempt in &attempts {
        assert_eq!((&attempt["outcome"], &attempt["errorKind"]), (&"SKIPPED".into(), &"BLOCKED".into()));
        let reason = attempt["reason"].as_str().unwrap();
        assert!(reason.starts_with("not sent: ") && !reason.contains("secret"), "{reason}");
        assert_eq!((&attempt["attempt"], &attempt["peerIp"]), (&1.into(), &Value::Null), "{attempt}");
        assert!(!attempt["url"].as_str().unwrap().contains("secret"));
    }
    let metadata = attempts.iter().find(|attempt| attempt["url"].as_str().unwrap().contains("169.254"));
    assert_eq!(
        metadata.unwrap()["reason"],
        "not sent: 169.254.169.254 is a cloud's metadata service, which is not called; an owner can allow it by \
         RICOCHET_OUTBOUND_ALLOWED_NETWORKS"
    );
    assert_eq!(tracker.received().len(), 0);
}

#[tokio::test]
async fn a_network_that_is_allowed_is_called_and_its_exchange_timed() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let port = tracker.url.rsplit(':').next().unwrap().to_owned();
    stored(&world, &format!("http://localhost:{port}/p?cid={{clickid}}&token=s3cret")).await;
    let server =
        Server::start_with(&world.databases, &[("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.1,::1")])
            .await;
    let click = world.click(&server, world.fixed.1).await;
    for number in 0..2 {
        world.report(&server, &format!("click_id={click}&request_id={number}&action=sale&status=new")).await;
        tracker.until_received(number + 1).await;
        // One after the other, so that the second uses the first one's connection.
        world.until_settled().await;
    }
    let attempts = logged(&world, &server, 2).await;
    for attempt in &attempts {
        assert_eq!((&attempt["outcome"], &attempt["peerIp"]), (&"DELIVERED".into(), &"127.0.0.1".into()));
        assert_eq!((&attempt["httpVersion"], &attempt["tlsUs"]), (&"1.1".into(), &0.into()));
        assert!(attempt["url"].as_str().unwrap().ends_with("&token=[redacted]"), "{attempt}");
        assert_eq!((&attempt["requestHeaders"], &attempt["requestBody"]), (&Value::Null, &Value::Null));
    }
    // Newest first.
    assert_eq!((&attempts[0]["connectUs"], &attempts[0]["dnsUs"]), (&0.into(), &0.into()));
    assert!(attempts[1]["connectUs"].as_u64().unwrap() > 0 && attempts[1]["dnsUs"].as_u64().unwrap() > 0);
}
