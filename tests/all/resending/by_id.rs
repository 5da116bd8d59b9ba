//! One, or a few.

use ricochet::domain::event::Event;
use ricochet::domain::ids::PartnerId;
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::network;
use ricochet::store::tokens;
use serde_json::json;

use super::refused_sales;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

const JOB: &str = "0198d5f0-0000-7000-8000-00000000000a";

#[actix_web::test]
async fn a_delivery_is_sent_again_as_it_was_or_as_it_would_be_today() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 1).await;
    world.attempts(&server, 1).await;
    let first = world.deliveries(&server, "states: [DELIVERED]").await[0].clone();
    assert_eq!(
        (&first["resendNumber"], &first["attempts"], &first["revision"]),
        (&json!(0), &json!(1), &json!(1))
    );
    assert_eq!((&first["txid"], &first["resentFrom"]), (&json!("r-0"), &json!(null)));

    let postback = world.only_postback().await;
    let update = format!(
        r#"mutation {{ updatePostback(input: {{postbackId: "{postback}", urlTemplate: "{}/new?tx={{txid}}"}}) {{ postbackId }} }}"#,
        tracker.url
    );
    world.ask(&server, &update).await;
    let resend = |request: &str, job: &str| {
        format!(
            "mutation {{ resendDeliveries(deliveryIds: [{}], request: {request}{job}) {{
                 job {{ state made }} deliveries {{ deliveryId newDeliveryId hastened skipped }} }} }}",
            first["deliveryId"]
        )
    };
    let current = world.ask(&server, &resend("CURRENT", &format!(", jobId: \"{JOB}\""))).await;
    assert_eq!(current["resendDeliveries"]["job"], json!({ "state": "DONE", "made": 1 }));
    let received = tracker.until_received(2).await;
    assert_eq!((received[1].url.path(), received[1].parameter("tx").as_deref()), ("/new", Some("r-0")));
    world.until_settled().await;
    // The same wish again is the same job, and makes nothing.
    let again = world.ask(&server, &resend("CURRENT", &format!(", jobId: \"{JOB}\""))).await;
    assert_eq!(again["resendDeliveries"]["deliveries"][0]["skipped"], "MADE_BEFORE");
    let (code, message) =
        world.refusal(&server, &world.owner_token, &resend("ORIGINAL", &format!(", jobId: \"{JOB}\""))).await;
    assert_eq!(code, "BAD_INPUT");
    assert!(message.starts_with("jobId: another job has this id"), "{message}");

    world.ask(&server, &resend("ORIGINAL", "")).await;
    let received = tracker.until_received(3).await;
    assert_eq!((received[2].url.path(), received[2].url.query()), ("/p", received[0].url.query()));
    world.until_settled().await;
    assert_eq!(tracker.received().len(), 3);

    let resends = world.deliveries(&server, &format!("resentFrom: {}", first["deliveryId"])).await;
    let mut told: Vec<_> =
        resends.iter().map(|one| (one["resendNumber"].as_u64(), one["revision"].as_u64())).collect();
    told.sort();
    assert_eq!(told, [(Some(1), Some(2)), (Some(2), Some(1))]);
    assert!(resends.iter().all(|one| one["state"] == "DELIVERED" && one["leadId"] == first["leadId"]));
    // A resend of a resend is one of the same first delivery.
    let of_resend = format!(
        "mutation {{ resendDeliveries(deliveryIds: [{}]) {{ job {{ made }} }} }}",
        resends[0]["deliveryId"]
    );
    world.ask(&server, &of_resend).await;
    world.until_settled().await;
    let of_first = format!("resentFrom: {}", first["deliveryId"]);
    assert_eq!(world.deliveries(&server, &of_first).await.len(), 3);
    let log =
        "{ auditLog(filter: {entities: [DELIVERY_JOB]}) { edges { node { action actorRole entityId } } } }";
    let audited = world.ask(&server, log).await["auditLog"]["edges"].clone();
    assert_eq!(audited.as_array().unwrap().len(), 3, "{audited}");
    assert_eq!(audited[2]["node"], json!({ "action": "resend", "actorRole": "owner", "entityId": JOB }));
}

/// The log tells the request that a killed node may have sent, which is that of its time.
#[actix_web::test]
async fn an_interrupted_resend_of_the_original_is_logged_as_it_was() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 1).await;
    world.attempts(&server, 1).await;
    let first = world.deliveries(&server, "states: [DELIVERED]").await[0]["deliveryId"].clone();
    let update = format!(
        r#"mutation {{ updatePostback(input: {{postbackId: "{}", urlTemplate: "{}/new?tx={{txid}}"}}) {{ postbackId }} }}"#,
        world.only_postback().await,
        tracker.url
    );
    world.ask(&server, &update).await;
    tracker.behave(Manner::Hang);
    let resend = format!(
        "mutation {{ resendDeliveries(deliveryIds: [{first}], request: ORIGINAL) {{ job {{ made }} }} }}"
    );
    world.ask(&server, &resend).await;
    tracker.until_received(2).await;
    server.kill();
    tracker.behave(OK);
    server.restart().await;
    tracker.until_received(3).await;
    world.until_settled().await;
    let log = "{ postbackLog { nodes { errorKind url } } }";
    let rows = eventually("all three attempts are in the log", || async {
        let rows = world.ask(&server, log).await["postbackLog"]["nodes"].as_array().unwrap().clone();
        Some(rows).filter(|rows| rows.len() == 3)
    })
    .await;
    let interrupted = rows.iter().find(|row| row["errorKind"] == "INTERRUPTED").unwrap();
    assert!(rows.iter().all(|row| row["url"] == interrupted["url"]), "{rows:?}");
    assert!(interrupted["url"].as_str().unwrap().contains("/p?cid="), "{interrupted}");
}

#[actix_web::test]
async fn what_waits_is_due_at_once_and_what_is_anothers_does_not_exist() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("500 Oops")).await;
    world.postback_with(&tracker.url, &[Event::Sale], &[3_600_000], 10_000).await;
    let other = {
        let db = world.databases.pool.get().await.unwrap();
        network::add_partner(&db, "Other").await.unwrap()
    };
    let token = async |grant| tokens::create(&world.databases.pool, grant, "").await.unwrap().secret;
    let own = token(Grant::Partner(world.partner)).await;
    let foreign = token(Grant::Partner(PartnerId(other.0))).await;
    let reader = token(Grant::Bi(Scope::Partner(world.partner))).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 1).await;
    let waiting = eventually("it is to be retried in an hour", || async {
        world.deliveries(&server, "states: [RETRYING]").await.pop()
    })
    .await;
    assert_eq!((&waiting["attempts"], &waiting["isPostbackPaused"]), (&json!(1), &json!(false)));
    assert_eq!(waiting["partnerId"], json!(world.partner));
    for (filter, count) in [
        (format!("leadId: {}", waiting["leadId"]), 1),
        (format!("postbackIds: [{}]", waiting["postbackId"]), 1),
        (format!("offerIds: [{}]", waiting["offerId"]), 1),
        ("events: [SALE], from: \"2020-01-01T00:00:00Z\"".into(), 1),
        ("events: [HOLD]".into(), 0),
        ("to: \"2020-01-01T00:00:00Z\"".into(), 0),
        ("states: [WAITING, SENDING, DELIVERED, FAILED, SKIPPED, CANCELLED]".into(), 0),
        (format!("offerIds: [{}]", waiting["postbackId"]), 0),
    ] {
        assert_eq!(world.deliveries(&server, &filter).await.len(), count, "{filter}");
    }

    let list = "{ deliveries { edges { node { deliveryId } } } }";
    for (token, count) in [(&own, 1), (&reader, 1), (&foreign, 0)] {
        let seen = world.graphql(&server, token, list).await;
        assert_eq!(seen["deliveries"]["edges"].as_array().unwrap().len(), count);
    }
    let resend = format!(
        "mutation {{ resendDeliveries(deliveryIds: [{}]) {{ deliveries {{ hastened }} }} }}",
        waiting["deliveryId"]
    );
    let (code, message) = world.refusal(&server, &foreign, &resend).await;
    assert_eq!(code, "BAD_INPUT");
    assert!(message.contains("no such delivery"), "{message}");
    assert_eq!(world.refusal(&server, &reader, &resend).await.0, "FORBIDDEN");
    tracker.behave(OK);
    let hastened = world.graphql(&server, &own, &resend).await;
    assert_eq!(hastened["resendDeliveries"]["deliveries"], json!([{ "hastened": true }]));
    tracker.until_received(2).await;
    world.until_settled().await;
    assert_eq!(world.deliveries(&server, "").await.len(), 1, "no delivery was made");
}

#[actix_web::test]
async fn pages_of_deliveries_follow_one_another() {
    let (world, _tracker, server) = refused_sales(7).await;
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let query = format!(
            "{{ deliveries(first: 3{after}) {{ pageInfo {{ hasNextPage endCursor }} edges {{ node {{ deliveryId state }} }} }} }}"
        );
        let page = world.ask(&server, &query).await["deliveries"].clone();
        for edge in page["edges"].as_array().unwrap() {
            assert_eq!(edge["node"]["state"], "FAILED");
            seen.push(edge["node"]["deliveryId"].as_str().unwrap().to_owned());
        }
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = format!(", after: {}", page["pageInfo"]["endCursor"]);
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    sorted.reverse();
    assert_eq!((seen.len(), &seen), (7, &sorted), "newest first, each once");
}
