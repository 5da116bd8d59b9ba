use ricochet::domain::event::Event;
use serde_json::{Value, json};

use super::{NOBODY, text, until};
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

#[actix_web::test]
async fn the_quarantine_is_listed_released_and_discarded() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Approve]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    for request in ["keep", "drop", "map"] {
        let word = if request == "map" { "Other" } else { "Odd" };
        let report = format!("click_id={click}&request_id={request}&action=sale&status={word}");
        assert_eq!(world.report(&server, &report).await.0, 202);
    }
    let words = world.tells(&["quarantine", "words"]);
    assert_eq!((&words[0]["word"], &words[0]["requests"]), (&json!("odd"), &json!(2)));
    assert_eq!(world.tells(&["quarantine", "list"]).as_array().unwrap().len(), 3);
    let listed = world.tells(&["quarantine", "list", "--word", "ODD"]);
    let id_of = |request: &str| {
        let found = listed.as_array().unwrap().iter().find(|item| item["request_id"] == request).unwrap();
        text(&found["inbound_id"])
    };
    assert!(world.says(&["quarantine", "list"]).contains("  odd    keep"));

    let both = ["quarantine", "release", &id_of("keep"), NOBODY, "--meaning", "approved"];
    let refused = world.refuses(&both);
    assert!(refused.contains(&format!("INBOUND_ID: no request {NOBODY} is in quarantine")), "{refused}");
    let released = world.tells(&["quarantine", "release", &id_of("keep"), "--meaning", "approved"]);
    assert_eq!(released, json!({ "released": 1 }));
    let received = tracker.until_received(1).await;
    assert_eq!(received[0].parameter("txid").as_deref(), Some("keep"));
    let discard = ["quarantine", "discard", &id_of("drop"), "--reason", "a test of theirs"];
    assert_eq!(world.says(&discard), "Discarded 1.");
    assert!(world.refuses(&discard).contains("INBOUND_ID: "));

    // A mapped word sets free what waits for it.
    let advertiser = world.advertiser_id().await;
    world.says(&["word", "set", "other", "approved", "--advertiser", &advertiser]);
    let received = tracker.until_received(2).await;
    assert_eq!(received[1].parameter("txid").as_deref(), Some("map"));
    let waiting = || world.count("SELECT count(*) FROM quarantine");
    until("the quarantine is empty", || async { waiting().await == 0 }).await;
    assert_eq!(world.audited(&server, "QUARANTINE").await[..2], ["release", "discard"]);
    world.until_settled().await;
    let log = world.asks(&server, "{ inboundLog { edges { node { reason } } } }").await;
    assert!(log.to_string().contains("discarded by command_line: a test of theirs"), "{log}");
}

#[actix_web::test]
async fn a_status_is_forced_and_a_conversion_settled_once() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Approve, Event::Payout]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r&action=sale&status=rejected");
    let lead = text(&world.report(&server, &report).await.1["lead_id"]);
    assert_eq!(world.says(&["settle"]), "To settle: 0 conversions.");

    let force = ["conversion", "force-status", &lead, "approved", "--note", "agreed"];
    let forced = json!({ "lead_id": lead, "changed": true, "previous": "rejected", "status": "approved" });
    assert_eq!(world.tells(&force), forced);
    assert!(world.says(&force).ends_with("was approved already; nothing was done."));
    let seen = world.asks(&server, "{ conversions { edges { node { status } } } }").await;
    assert_eq!(seen["conversions"]["edges"][0]["node"]["status"], "APPROVED");
    tracker.until_received(1).await;

    let partner = world.partner.to_string();
    let of_nobody = world.tells(&["settle", "--partner", NOBODY, "--apply"]);
    assert_eq!(of_nobody, json!({ "settled": true, "conversions": 0, "payouts": {} }));
    assert_eq!(world.tells(&["settle", "--to", "2020-01-01T00:00:00Z"])["conversions"], 0);
    let settle = ["settle", "--partner", &partner, "--lead", &lead];
    let preview = world.ricochet(&settle, "");
    assert!(
        preview.out.starts_with("To settle: 1 conversion: 10") && preview.err.contains("--apply"),
        "{}",
        preview.out
    );
    let amount = |value: &Value| text(&value["payouts"]["USD"]).parse::<f64>().unwrap();
    let settled = world.tells(&[&settle[..], &["--apply"]].concat());
    assert_eq!((&settled["conversions"], amount(&settled)), (&json!(1), 10.0));
    assert_eq!(world.tells(&[&settle[..], &["--apply"]].concat())["conversions"], 0);
    tracker.until_received(2).await;
    world.until_settled().await;
    let events: Vec<_> = tracker.received().iter().map(|one| one.parameter("event").unwrap()).collect();
    assert_eq!(events, ["approve", "payout"]);
    assert_eq!(world.audited(&server, "CONVERSION").await, ["force_status", "settle"]);
}

#[actix_web::test]
async fn a_request_whose_click_came_later_is_processed_again() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Approve]).await;
    let mut server = Server::start(&world.databases).await;
    assert_eq!(world.report(&server, "clickid=late&request_id=r&action=sale&status=approved").await.0, 422);
    world.until_settled().await;
    let found = world.asks(&server, "{ inboundLog { edges { node { inboundId } } } }").await;
    let id = text(&found["inboundLog"]["edges"][0]["node"]["inboundId"]);
    let url = server.url(&format!("/click/{}?clickid=late", world.fixed.1));
    assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);

    let refused = world.refuses(&["reprocess", &id, NOBODY]);
    assert!(refused.contains(&format!("INBOUND_ID: the inbound log has no request {NOBODY}")), "{refused}");
    // Nobody runs: what is asked for waits until somebody does.
    server.stop();
    assert_eq!(world.tells(&["reprocess", &id, &id]), json!({ "asked": 1, "waiting_already": 0 }));
    assert_eq!(world.says(&["reprocess", &id]), "0 asked; 1 waited to be processed already.");
    server.restart().await;
    let received = tracker.until_received(1).await;
    assert_eq!(received[0].parameter("txid").as_deref(), Some("r"));
    assert_eq!(world.audited(&server, "INBOUND_REQUEST").await, ["reprocess"]);
}
