//! What is decided by hand, through GraphQL, and what comes of it.

use async_graphql::Request;
use ricochet::domain::event::Event;
use ricochet::domain::ids::AdvertiserId;
use ricochet::graphql::schema;
use ricochet::graphql::scope::{Grant, Principal, Scope};
use ricochet::store::tokens;
use serde_json::{Value, json};
use uuid::Uuid;

use super::mutations::{OWNER, text};
use crate::graphql::stage::refusal;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const NOBODY: &str = "0198d5f0-0000-7000-8000-000000000000";

/// The code and field of the only error of a request that must be refused.
async fn refused(world: &World, server: &Server, token: &str, query: &str) -> (String, String) {
    let request =
        world.client.post(server.url("/graphql")).bearer_auth(token).json(&json!({ "query": query }));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let extensions = &answer["errors"][0]["extensions"];
    let said = |name: &str| extensions[name].as_str().unwrap_or_default().to_owned();
    (said("code"), said("field"))
}

async fn audited(world: &World, server: &Server, action: &str) -> Vec<Value> {
    let query = format!(
        r#"{{ auditLog(filter: {{actions: ["{action}"]}}) {{ edges {{ node {{ entity entityId actorRole before after }} }} }} }}"#
    );
    let log = world.ask(server, &query).await;
    log["auditLog"]["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()).collect()
}

async fn until(world: &World, what: &str, query: &str, count: i64) {
    eventually(what, || async { (world.count(query).await == count).then_some(()) }).await;
}

#[actix_web::test]
async fn a_quarantined_request_is_released_and_told_and_another_discarded() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Approve]).await;
    let other =
        tokens::create(&world.databases.pool, Grant::Bi(Scope::Partner(world.partner)), "").await.unwrap();
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    for request in ["keep", "drop"] {
        let report = format!("click_id={click}&request_id={request}&action=sale&status=Odd");
        assert_eq!(world.report(&server, &report).await.0, 202);
    }
    let list = "{ quarantineWords { word count oldest } quarantine(filter: {word: \"ODD\"}) { totalCount edges { node {
                  inboundId requestId word action receivedAt occurredAt parameters decidedMeaning } } } }";
    let seen = world.ask(&server, list).await;
    assert_eq!(
        (&seen["quarantineWords"][0]["word"], &seen["quarantineWords"][0]["count"]),
        (&json!("odd"), &json!(2))
    );
    assert_eq!(seen["quarantine"]["totalCount"], 2);
    let id_of = |request: &str| {
        let edges = seen["quarantine"]["edges"].as_array().unwrap();
        let found = edges.iter().find(|edge| edge["node"]["requestId"] == request).unwrap();
        text(&found["node"]["inboundId"])
    };
    let of_partner = world.graphql(&server, &other.secret, list).await;
    assert_eq!(
        (&of_partner["quarantine"]["totalCount"], &of_partner["quarantineWords"]),
        (&json!(0), &json!([]))
    );

    // One that is not there leaves the others where they are.
    let release = |ids: &str| {
        format!("mutation {{ releaseQuarantine(input: {{inboundIds: [{ids}], meaning: APPROVED}}) }}")
    };
    let both = format!("{:?}, {NOBODY:?}", id_of("keep"));
    let not_found = ("NOT_FOUND".to_owned(), "input.inboundIds".to_owned());
    assert_eq!(refused(&world, &server, &world.owner_token, &release(&both)).await, not_found);
    let released = world.ask(&server, &release(&format!("{:?}", id_of("keep")))).await;
    assert_eq!(released["releaseQuarantine"], 1);
    let discard = format!(
        r#"mutation {{ discardQuarantine(input: {{inboundIds: ["{}"], reason: "a test of theirs"}}) }}"#,
        id_of("drop")
    );
    assert_eq!(world.ask(&server, &discard).await["discardQuarantine"], 1);
    assert_eq!(refused(&world, &server, &world.owner_token, &discard).await, not_found);

    let received = tracker.until_received(1).await;
    assert_eq!(received[0].parameter("txid").as_deref(), Some("keep"));
    until(&world, "the quarantine is empty", "SELECT count(*) FROM quarantine", 0).await;
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 1);
    let release = &audited(&world, &server, "release").await[0];
    assert_eq!((&release["entity"], &release["actorRole"]), (&json!("quarantine"), &json!("owner")));
    assert_eq!(
        (&release["before"]["word"], &release["after"]["decided_meaning"]),
        (&json!("odd"), &json!("approved"))
    );
    assert_eq!(audited(&world, &server, "discard").await[0]["after"]["reason"], "a test of theirs");
}

#[actix_web::test]
async fn a_forced_status_fires_and_a_settled_conversion_is_paid_once() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Approve, Event::Payout]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r&action=sale&status=rejected");
    let lead = text(&world.report(&server, &report).await.1["lead_id"]);
    let settle = format!(
        r#"mutation {{ settle(filter: {{leadIds: ["{lead}"]}}) {{ conversions payouts {{ currency amount }} }} }}"#
    );
    assert_eq!(world.ask(&server, &settle).await["settle"], json!({ "conversions": 0, "payouts": [] }));

    let force = format!(
        r#"mutation {{ forceStatus(input: {{leadId: "{lead}", status: APPROVED, note: "agreed"}}) {{ result previous status }} }}"#
    );
    let forced = world.ask(&server, &force).await["forceStatus"].clone();
    assert_eq!(forced, json!({ "result": "CHANGED", "previous": "REJECTED", "status": "APPROVED" }));
    assert_eq!(world.ask(&server, &force).await["forceStatus"]["result"], "UNCHANGED");
    let entries = audited(&world, &server, "force_status").await;
    assert_eq!((entries.len(), &entries[0]["entityId"]), (1, &json!(lead)));
    assert_eq!(
        (&entries[0]["before"]["status"], &entries[0]["after"]["note"]),
        (&json!("rejected"), &json!("agreed"))
    );

    let amount = |value: &Value| value["payouts"][0]["amount"].as_str().unwrap().parse::<f64>().unwrap();
    let preview = "{ settlementPreview(filter: {}) { conversions payouts { currency amount } } }";
    let previewed = world.ask(&server, preview).await["settlementPreview"].clone();
    let settled = world.ask(&server, &settle).await["settle"].clone();
    for said in [&previewed, &settled] {
        assert_eq!((&said["conversions"], amount(said)), (&json!(1), 10.0), "{said}");
    }
    assert_eq!(world.ask(&server, &settle).await["settle"]["conversions"], 0);
    let entries = audited(&world, &server, "settle").await;
    assert_eq!((entries.len(), &entries[0]["entityId"]), (1, &json!(lead)));
    tracker.until_received(2).await;
    world.until_settled().await;
    let mut events: Vec<_> = tracker.received().iter().map(|one| one.parameter("event").unwrap()).collect();
    events.sort();
    assert_eq!(events, ["approve", "payout"]);
}

#[actix_web::test]
async fn a_request_whose_click_came_later_is_processed_again() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Approve]).await;
    let db = world.databases.pool.get().await.unwrap();
    let row = db.query_one("SELECT advertiser_id FROM offers LIMIT 1", &[]).await.unwrap();
    drop(db);
    let advertiser = Grant::Advertiser(AdvertiserId(row.get(0)));
    let own = tokens::create(&world.databases.pool, advertiser, "").await.unwrap().secret;
    let server = Server::start(&world.databases).await;
    assert_eq!(world.report(&server, "clickid=late&request_id=r&action=sale&status=approved").await.0, 422);
    world.until_settled().await;
    let found = world.ask(&server, "{ inboundLog { edges { node { inboundId } } } }").await;
    let id = text(&found["inboundLog"]["edges"][0]["node"]["inboundId"]);
    let url = server.url(&format!("/click/{}?clickid=late", world.fixed.1));
    assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);

    let reprocess = |ids: &str| format!("mutation {{ reprocess(inboundIds: [{ids}]) {{ asked }} }}");
    let unknown = reprocess(&format!("{id:?}, {NOBODY:?}"));
    let not_found = ("NOT_FOUND".to_owned(), "inboundIds".to_owned());
    assert_eq!(refused(&world, &server, &own, &unknown).await, not_found);
    let asked = world.graphql(&server, &own, &reprocess(&format!("{id:?}, {id:?}"))).await;
    assert_eq!(asked["reprocess"]["asked"], 1);
    let received = tracker.until_received(1).await;
    assert_eq!(received[0].parameter("txid").as_deref(), Some("r"));
    until(&world, "nothing waits", "SELECT count(*) FROM reprocessing", 0).await;
    let entry = &audited(&world, &server, "reprocess").await[0];
    assert_eq!((&entry["entityId"], &entry["actorRole"]), (&json!(id), &json!("advertiser")));
}

#[actix_web::test]
async fn a_foreign_advertiser_finds_nothing_and_wrong_inputs_name_their_fields() {
    let world = World::new().await;
    let stranger = Grant::Advertiser(AdvertiserId(NOBODY.parse().unwrap()));
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r&action=sale&status=odd");
    assert_eq!(world.report(&server, &report).await.0, 202);
    let found = world.ask(&server, "{ quarantine { edges { node { inboundId } } } }").await;
    let id = text(&found["quarantine"]["edges"][0]["node"]["inboundId"]);
    world.until_settled().await;

    let schema = schema(world.databases.pool.clone(), world.databases.log.clone());
    let execute = |grant: Grant, query: String| {
        let principal = Principal { token_id: Uuid::nil(), grant };
        schema.execute(Request::new(query).data(principal))
    };
    let query = "{ quarantine { totalCount } quarantineWords { word } }";
    let seen = execute(stranger, query.into()).await.data.into_json().unwrap();
    assert_eq!(seen, json!({ "quarantine": { "totalCount": 0 }, "quarantineWords": [] }));
    let release = format!(r#"releaseQuarantine(input: {{inboundIds: ["{id}"], meaning: HOLD}})"#);
    let discard = format!(r#"discardQuarantine(input: {{inboundIds: ["{id}"], reason: "x"}})"#);
    let reprocess = format!(r#"reprocess(inboundIds: ["{id}"]) {{ asked }}"#);
    let cases = [
        (stranger, release.clone(), "NOT_FOUND", "input.inboundIds"),
        (stranger, discard.clone(), "NOT_FOUND", "input.inboundIds"),
        (stranger, reprocess, "NOT_FOUND", "inboundIds"),
        (OWNER, release.replace(&id, "42"), "BAD_INPUT", "input.inboundIds"),
        (OWNER, release.replace(&format!("{id:?}"), ""), "BAD_INPUT", "input.inboundIds"),
        (OWNER, discard.replace("\"x\"", "\" \""), "BAD_INPUT", "input.reason"),
        (OWNER, "reprocess(inboundIds: []) { asked }".into(), "BAD_INPUT", "inboundIds"),
        (
            OWNER,
            format!(r#"forceStatus(input: {{leadId: "{NOBODY}", status: HOLD, note: "x"}}) {{ status }}"#),
            "NOT_FOUND",
            "input.leadId",
        ),
        (
            OWNER,
            format!(r#"forceStatus(input: {{leadId: "{NOBODY}", status: HOLD, note: ""}}) {{ status }}"#),
            "BAD_INPUT",
            "input.note",
        ),
        (OWNER, r#"settle(filter: {from: "soon"}) { conversions }"#.into(), "BAD_INPUT", "filter.from"),
    ];
    for (grant, mutation, code, field) in cases {
        let response = execute(grant, format!("mutation {{ {mutation} }}")).await;
        assert_eq!(refusal(&response), (code.to_owned(), field.to_owned()), "{mutation}");
    }
    let preview = "{ settlementPreview(filter: {}) { conversions } }";
    assert_eq!(refusal(&execute(stranger, preview.into()).await).0, "FORBIDDEN");
    assert_eq!(world.count("SELECT count(*) FROM quarantine WHERE decided_meaning IS NULL").await, 1);
}
