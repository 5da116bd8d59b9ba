//! The door `/{api_key}/s2s`: what is taken, what is refused, and how that is told.

use futures_util::future::join_all;
use ricochet::domain::event::Event;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

fn codes(body: &Value) -> Vec<(&str, &str)> {
    let errors = body["errors"].as_array().unwrap();
    errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_conversion_is_taken_changed_repeated_and_contradicted() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale, Event::Hold, Event::Approve, Event::Reject]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = |status: &'static str| {
        let parameters = format!("click_id={click}&request_id=r-1&action=sale&status={status}&zone=eu");
        let (world, server) = (&world, &server);
        async move { world.report(server, &parameters).await }
    };

    let (status, first) = report("hold").await;
    assert_eq!(status, 200);
    let lead_id = first["lead_id"].as_str().unwrap();
    let success = |conflict: bool, duplicate: bool| json!({ "status": "success", "lead_id": lead_id, "rejected_by_conflict": conflict, "duplicate": duplicate });
    assert_eq!(first, success(false, false));
    assert_eq!(report(" PENDING ").await.1, success(false, true));
    assert_eq!(report("paid").await.1, success(false, false));
    let (status, conflict) = report("hold").await;
    assert_eq!((status, &conflict["rejected_by_conflict"]), (200, &json!(true)));
    assert_eq!(conflict["conflict"]["code"], "transition");
    assert_eq!(report("refund").await.1, success(false, false));

    // sale + hold, approve, reject: what changed nothing sent nothing.
    let attempts = world.attempts(&server, 4).await;
    let mut told: Vec<&str> = attempts.iter().map(|attempt| attempt["event"].as_str().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, ["APPROVE", "HOLD", "REJECT", "SALE"]);
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "DELIVERED" && attempt["leadId"] == lead_id));
    let received = tracker.received();
    assert_eq!(received.len(), 4);
    for request in received {
        assert_eq!(request.parameter("cid").unwrap(), click);
        assert_eq!(request.parameter("txid").unwrap(), "r-1");
        assert_eq!(request.parameter("payout").unwrap(), "10.00");
        assert_eq!(request.parameter("currency").unwrap(), "USD");
        assert_eq!(request.parameter("zone").unwrap(), "eu");
    }
    let conversions = world
        .graphql(
            &server,
            &world.owner_token,
            "{ conversions { totalCount edges { node { leadId status payout } } } }",
        )
        .await;
    assert_eq!(
        conversions["conversions"],
        json!({ "totalCount": 1, "edges": [{ "node": { "leadId": lead_id, "status": "REJECTED", "payout": "10.00" } }] })
    );
}

#[tokio::test]
async fn every_refusal_names_its_fields_and_is_logged() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.percent.1).await;

    let (status, body) = world.report(&server, "status=approved&price=abc").await;
    assert_eq!((status, &body["status"]), (422, &json!("error")));
    assert_eq!(
        codes(&body),
        [
            ("click_id", "missing"),
            ("request_id", "missing"),
            ("action", "missing"),
            ("price", "invalid_amount")
        ]
    );
    let (status, body) =
        world.report(&server, "click_id=nobody&request_id=r-7&action=deposit&status=new").await;
    assert_eq!((status, codes(&body)), (422, vec![("click_id", "unknown_click")]));
    let (status, body) = world
        .report(&server, &format!("click_id={click}&request_id=r&action=sail&status=new&currency=EURO"))
        .await;
    assert_eq!(
        (status, codes(&body)),
        (422, vec![("currency", "unknown_currency"), ("action", "unknown_action")])
    );
    let (status, body) =
        world.report(&server, &format!("click_id={click}&request_id=r&action=deposit&status=new")).await;
    assert_eq!((status, codes(&body)), (422, vec![("price", "missing")]));
    let (status, body) = world.report(&server, "click_id=%ff").await;
    assert_eq!((status, codes(&body)), (400, vec![("query", "invalid_encoding")]));
    let (status, body) = world.report(&server, "click_id=a%00b&request_id=r&action=deposit&status=new").await;
    assert_eq!((status, codes(&body)), (422, vec![("click_id", "invalid_character")]));

    let nobodys = server.url("/rk_0000/s2s?click_id=1");
    let answer = world.client.get(nobodys).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(codes(&answer.json().await.unwrap()), [("api_key", "unknown_key")]);

    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 0);
    let refused = eventually("seven refusals are in the log", || async {
        let query = "{ inboundLog(filter: {verdicts: [REJECTED]}) { edges { node {
            requestId clickId verdict httpStatus reason sourceIp } } } }";
        let log = world.graphql(&server, &world.owner_token, query).await;
        Some(log["inboundLog"]["edges"].as_array().unwrap().clone()).filter(|edges| edges.len() >= 7)
    })
    .await;
    assert_eq!(refused.len(), 7);
    let unknown_click = refused.iter().find(|edge| edge["node"]["requestId"] == "r-7").unwrap();
    assert_eq!(
        unknown_click["node"],
        json!({
            "requestId": "r-7", "clickId": "nobody", "verdict": "REJECTED", "httpStatus": 422,
            "reason": "click_id: no click of your offers has this id; send the click_id the visitor arrived with",
            "sourceIp": "127.0.0.1",
        })
    );
    assert!(!server.log().contains(&world.api_key), "the key is in the log");
}

#[tokio::test]
async fn query_form_and_json_say_the_same() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.percent.1).await;
    let url = server.url(&format!("/{}/s2s", world.api_key));
    let post = |content_type: &'static str, body: String| {
        let request = world.client.post(&url).header("content-type", content_type).body(body);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let first = post(
        "application/json",
        format!(r#"{{"subid":"{click}","txid":1,"goal":"Deposit","status":"new","amount":99.90,"fields":{{"a":"b"}}}}"#),
    )
    .await;
    assert_eq!((&first["status"], &first["duplicate"]), (&json!("success"), &json!(false)));
    let form = format!("clickid={click}&order_id=1&event=deposit&status=pending&sum=99.90");
    let again = post("application/x-www-form-urlencoded", form.clone()).await;
    assert_eq!((&again["lead_id"], &again["duplicate"]), (&first["lead_id"], &json!(true)));
    assert_eq!(world.report(&server, &form).await.1["lead_id"], first["lead_id"]);

    let row = world.databases.pool.get().await.unwrap();
    let row = row.query_one("SELECT amount::text, payout::text, fields FROM conversions", &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("99.90", "24.98"));
    assert_eq!(row.get::<_, Value>(2), json!({ "a": "b" }));

    assert_eq!(post("application/json", "[".into()).await["errors"][0]["code"], "invalid_json");
    assert_eq!(post("text/xml", "<a/>".into()).await["errors"][0]["code"], "unsupported_content_type");
}

#[tokio::test]
async fn a_once_per_click_action_is_counted_once() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report =
        |request_id: &str| format!("click_id={click}&request_id={request_id}&action=lead&status=new");
    assert_eq!(world.report(&server, &report("a")).await.1["rejected_by_conflict"], false);
    let (_, second) = world.report(&server, &report("b")).await;
    assert_eq!(
        (&second["rejected_by_conflict"], &second["conflict"]["code"]),
        (&json!(true), &json!("once_per_click"))
    );
}

#[tokio::test]
async fn an_unknown_status_word_is_kept() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let parameters = format!("click_id={click}&request_id=r&action=sale&status=zweifelhaft");
    let (status, body) = world.report(&server, &parameters).await;
    assert_eq!((status, &body["status"]), (202, &json!("quarantined")));
    assert_eq!(world.count("SELECT count(*) FROM quarantine WHERE word = 'zweifelhaft'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 0);
}

#[tokio::test]
async fn a_recurring_customer_is_added_renewed_and_stopped() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let events = [Event::Sale, Event::Rebill, Event::CustomerActivate, Event::CustomerDeactivate];
    world.postback(&tracker.url, &events).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.recurring.1).await;
    let lead = |request_id: &str| {
        format!("click_id={click}&request_id={request_id}&action=subscription&status=paid&customer_id=c-1")
    };
    let customer = |status: &str| format!("customer_id=c-1&click_id={click}&status={status}");

    assert_eq!(codes(&world.report(&server, &lead("a")).await.1), [("customer_id", "inactive_customer")]);
    assert_eq!(world.report(&server, &customer("activate")).await.1["active"], true);
    assert_eq!(world.report(&server, &customer("activate")).await.1["duplicate"], true);
    assert_eq!(world.report(&server, &lead("a")).await.1["status"], "success");
    assert_eq!(world.report(&server, &lead("b")).await.1["status"], "success");
    assert_eq!(world.report(&server, &customer("deactivate")).await.1["active"], false);
    assert_eq!(codes(&world.report(&server, &lead("c")).await.1), [("customer_id", "inactive_customer")]);

    let attempts = world.attempts(&server, 4).await;
    let mut told: Vec<&str> = attempts.iter().map(|attempt| attempt["event"].as_str().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, ["CUSTOMER_ACTIVATE", "CUSTOMER_DEACTIVATE", "REBILL", "SALE"]);
}

#[tokio::test]
async fn a_partners_click_id_is_understood_unless_it_is_ambiguous() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    // Some trackers' ids look like ours.
    let uuid = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
    for clickid in ["one", "two", "two", uuid] {
        let url = server.url(&format!("/click/{}?clickid={clickid}", world.fixed.1));
        assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);
    }
    let (status, _) = world.report(&server, "clickid=one&request_id=1&action=sale&status=new").await;
    assert_eq!(status, 200);
    let (status, _) =
        world.report(&server, &format!("clickid={uuid}&request_id=3&action=sale&status=new")).await;
    assert_eq!(status, 200);
    let (status, body) = world.report(&server, "clickid=two&request_id=2&action=sale&status=new").await;
    assert_eq!((status, codes(&body)), (422, vec![("click_id", "ambiguous_click")]));
    assert!(body["errors"][0]["message"].as_str().unwrap().starts_with("2 clicks"));
}

#[tokio::test]
async fn copies_that_race_over_two_nodes_make_one_conversion() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Lead]).await;
    let nodes = [Server::start(&world.databases).await, Server::start(&world.databases).await];
    for round in 0..20 {
        let click = world.click(&nodes[0], world.fixed.1).await;
        // Three copies of one request, and another request for the same once-per-click action.
        let requests = ["same", "same", "same", "other"]
            .map(|name| format!("click_id={click}&request_id={name}-{round}&action=lead&status=hold"));
        let answers = join_all(
            requests.iter().enumerate().map(|(index, request)| world.report(&nodes[index % 2], request)),
        )
        .await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        let fresh = answers
            .iter()
            .filter(|(_, body)| body["duplicate"] == false && body["rejected_by_conflict"] == false);
        assert_eq!(fresh.count(), 1, "{answers:?}");
    }
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 20);
    assert_eq!(world.attempts(&nodes[0], 20).await.len(), 20);
    assert_eq!(tracker.received().len(), 20);
}
