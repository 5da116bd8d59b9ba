//! Postbacks that came too late for some conversions.

use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::tokens;
use serde_json::json;

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

#[actix_web::test]
async fn a_new_postback_hears_of_the_past_and_of_nothing_twice() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 5).await;
    let (status, _) =
        world.report(&server, &format!("click_id={click}&request_id=t&action=sale&status=new&test=1")).await;
    assert_eq!(status, 200);
    assert_eq!(world.count("SELECT count(*) FROM deliveries_finished").await, 0);
    let create = format!(
        r#"mutation {{ createPostback(input: {{partnerId: "{}", events: [SALE, HOLD, REJECT],
             urlTemplate: "{}/p?tx={{txid}}&event={{event}}"}}) {{ postbackId }} }}"#,
        world.partner, tracker.url
    );
    let postback = world.ask(&server, &create).await["createPostback"]["postbackId"].clone();
    world.report(&server, &format!("click_id={click}&request_id=new&action=sale&status=new")).await;
    tracker.until_received(2).await;
    world.until_settled().await;

    let own = tokens::create(&world.databases.pool, Grant::Partner(world.partner), "").await.unwrap().secret;
    let reader = Grant::Bi(Scope::Partner(world.partner));
    let reader = tokens::create(&world.databases.pool, reader, "").await.unwrap().secret;
    let preview = format!(
        "{{ sendPastPreview(input: {{postbackId: {postback}}}) {{ deliveries forgotten
             byEvent {{ event missing hasDelivery }} }} }}"
    );
    let expected = json!([
        { "event": "HOLD", "missing": 5, "hasDelivery": 1 },
        { "event": "SALE", "missing": 5, "hasDelivery": 1 },
    ]);
    let found = world.graphql(&server, &own, &preview).await["sendPastPreview"].clone();
    assert_eq!((&found["deliveries"], &found["byEvent"]), (&json!(10), &expected));
    assert_eq!(found["forgotten"], 0);

    let send = format!(
        "mutation {{ sendPast(input: {{postbackId: {postback}, ratePerSecond: 500}}) {{ job {{ jobId expected }} }} }}"
    );
    assert_eq!(world.refusal(&server, &reader, &send).await.0, "FORBIDDEN");
    let started = world.graphql(&server, &own, &send).await["sendPast"]["job"].clone();
    assert_eq!(started["expected"], 12);
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!((&job["kind"], &job["made"], &job["matched"]), (&json!("SEND_PAST"), &json!(10), &json!(12)));
    assert_eq!(job["skipped"], json!([{ "reason": "HAS_DELIVERY", "count": 2 }]));
    world.until_settled().await;
    let mut told: Vec<_> = tracker
        .received()
        .iter()
        .map(|request| (request.parameter("tx").unwrap(), request.parameter("event").unwrap()))
        .collect();
    told.sort();
    let mut all: Vec<_> = ["new", "r-0", "r-1", "r-2", "r-3", "r-4"]
        .iter()
        .flat_map(|tx| ["hold", "sale"].map(|event| ((*tx).to_owned(), event.to_owned())))
        .collect();
    all.sort();
    assert_eq!(told, all, "every event once, and no test");

    // Once more there is nothing to do; and one conversion is said to be older than the history.
    let db = world.databases.pool.get().await.unwrap();
    let age = "UPDATE conversions SET created_at = '2020-01-01' WHERE request_id = 'r-0'";
    db.execute(age, &[]).await.unwrap();
    drop(db);
    let started = world.ask(&server, &send).await["sendPast"]["job"].clone();
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!(job["made"], 0);
    let skipped = json!([{ "reason": "FORGOTTEN", "count": 1 }, { "reason": "HAS_DELIVERY", "count": 12 }]);
    assert_eq!(job["skipped"], skipped);
    assert_eq!(tracker.received().len(), 12);

    // Tests only where they are asked for.
    let with_tests = send.replace("ratePerSecond: 500", "ratePerSecond: 500, includeTests: true");
    let started = world.ask(&server, &with_tests).await["sendPast"]["job"].clone();
    assert_eq!(world.until_job(&server, &started["jobId"], "DONE").await["made"], 2);
    let mut received: Vec<_> = tracker.until_received(14).await[12..]
        .iter()
        .map(|request| (request.parameter("tx").unwrap(), request.parameter("event").unwrap()))
        .collect();
    received.sort();
    assert_eq!(received, [("t".into(), "hold".into()), ("t".into(), "sale".into())]);

    let wrong = format!(
        "mutation {{ sendPast(input: {{postbackId: {postback}, from: \"2999-01-01T00:00:00Z\"}}) {{ job {{ jobId }} }} }}"
    );
    let (code, message) = world.refusal(&server, &own, &wrong).await;
    assert_eq!(code, "BAD_INPUT");
    assert!(message.starts_with("input.from: "), "{message}");
}

#[actix_web::test]
async fn what_a_condition_keeps_back_is_counted_with_its_reason_and_not_sent() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.percent.1).await;
    for (request, price) in [("small", 4), ("middle", 40), ("large", 400), ("larger", 800)] {
        let report = format!("click_id={click}&request_id={request}&action=deposit&price={price}&status=new");
        assert_eq!(world.report(&server, &report).await.0, 200);
    }
    let create = format!(
        r#"mutation {{ createPostback(input: {{partnerId: "{}", events: [HOLD, APPROVE], condition: "amount > 100",
             urlTemplate: "{}/p?tx={{txid}}"}}) {{ postbackId }} }}"#,
        world.partner, tracker.url
    );
    let postback = world.ask(&server, &create).await["createPostback"]["postbackId"].clone();
    let preview = format!(
        "{{ sendPastPreview(input: {{postbackId: {postback}}}) {{ deliveries keptBack
             keptBackReasons {{ reason count }} byEvent {{ event missing hasDelivery keptBack }} }} }}"
    );
    let found = world.ask(&server, &preview).await["sendPastPreview"].clone();
    assert_eq!((&found["deliveries"], &found["keptBack"]), (&json!(2), &json!(2)), "{found}");
    let by_event = json!([{ "event": "HOLD", "missing": 2, "hasDelivery": 0, "keptBack": 2 }]);
    assert_eq!(found["byEvent"], by_event);
    let reasons = found["keptBackReasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 2, "{found}");
    for (reason, amount) in reasons.iter().zip(["4", "40"]) {
        let text = reason["reason"].as_str().unwrap();
        assert!(text.starts_with("condition not met: ") && text.contains(amount), "{text}");
        assert_eq!(reason["count"], 1);
    }

    let send =
        format!("mutation {{ sendPast(input: {{postbackId: {postback}}}) {{ job {{ jobId expected }} }} }}");
    let started = world.ask(&server, &send).await["sendPast"]["job"].clone();
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!((&started["expected"], &job["matched"], &job["made"]), (&json!(4), &json!(4), &json!(2)));
    assert_eq!(job["skipped"], json!([{ "reason": "CONDITION_UNMET", "count": 2 }]));
    world.until_settled().await;
    let mut told: Vec<_> = tracker.received().iter().map(|one| one.parameter("tx").unwrap()).collect();
    told.sort();
    assert_eq!(told, ["large", "larger"]);
    // What was sent has its delivery; what is kept back still is.
    let found = world.ask(&server, &preview).await["sendPastPreview"].clone();
    let by_event = json!([{ "event": "HOLD", "missing": 0, "hasDelivery": 2, "keptBack": 2 }]);
    assert_eq!((&found["deliveries"], &found["byEvent"]), (&json!(0), &by_event));
}

/// A global postback is not for an offer whose own postbacks replace it.
#[actix_web::test]
async fn the_past_of_a_global_postback_leaves_out_what_others_replace_it_for() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 3).await;
    let click = world.click(&server, world.percent.1).await;
    for request in ["a", "b"] {
        let report = format!("click_id={click}&request_id={request}&action=deposit&price=9&status=new");
        assert_eq!(world.report(&server, &report).await.0, 200);
    }
    let partner = world.partner;
    let create = async |scope: &str, path: &str| {
        let create = format!(
            r#"mutation {{ createPostback(input: {{partnerId: "{partner}", events: [HOLD], {scope}
                 urlTemplate: "{}/{path}?tx={{txid}}"}}) {{ postbackId }} }}"#,
            tracker.url
        );
        world.ask(&server, &create).await["createPostback"]["postbackId"].clone()
    };
    let global = create("", "global").await;
    let own = create(&format!(r#"offerId: "{}","#, world.fixed.0), "own").await;
    let of_link = create(&format!(r#"linkId: "{}","#, world.percent.1), "link").await;
    let missing = async |postback: &serde_json::Value| {
        let preview = format!(
            "{{ sendPastPreview(input: {{postbackId: {postback}}}) {{ isComplete countedUntil deliveries }} }}"
        );
        let found = world.ask(&server, &preview).await["sendPastPreview"].clone();
        assert_eq!((&found["isComplete"], &found["countedUntil"]), (&json!(true), &json!(null)));
        found["deliveries"].as_u64().unwrap()
    };
    assert_eq!(
        (missing(&global).await, missing(&own).await, missing(&of_link).await),
        (5, 3, 2),
        "they join"
    );
    let choose = async |offer: &dyn std::fmt::Display, choice: &str| {
        let choose = format!(
            r#"mutation {{ updateOffer(input: {{offerId: "{offer}", offerPostbacks: {choice}}}) {{ offerId }} }}"#
        );
        world.ask(&server, &choose).await;
    };
    choose(&world.fixed.0, "REPLACE").await;
    assert_eq!((missing(&global).await, missing(&own).await), (2, 3));
    choose(&world.percent.0, "REPLACE").await;
    assert_eq!((missing(&global).await, missing(&of_link).await), (0, 2));
    choose(&world.percent.0, "JOIN").await;

    let send =
        format!("mutation {{ sendPast(input: {{postbackId: {global}}}) {{ job {{ jobId expected }} }} }}");
    let started = world.ask(&server, &send).await["sendPast"]["job"].clone();
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!((&started["expected"], &job["made"], &job["matched"]), (&json!(2), &json!(2), &json!(2)));
    world.until_settled().await;
    let mut told: Vec<_> = tracker.received().iter().map(|one| one.target.clone()).collect();
    told.sort();
    assert_eq!(told, ["/global?tx=a", "/global?tx=b"]);
    // A deleted postback replaces nothing.
    world.ask(&server, &format!("mutation {{ deletePostback(postbackId: {own}) }}")).await;
    assert_eq!(missing(&global).await, 3);
}

/// What takes too long is said to be unfinished, in time.
#[actix_web::test]
async fn a_past_that_is_too_long_to_count_is_shown_as_far_as_it_was() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 3).await;
    for (condition, locked) in
        [("", "deliveries_finished"), (r#"condition: "payout > 1","#, "conversion_history")]
    {
        let create = format!(
            r#"mutation {{ createPostback(input: {{partnerId: "{}", events: [HOLD], {condition}
                 urlTemplate: "https://tracker.example/p"}}) {{ postbackId }} }}"#,
            world.partner
        );
        let postback = world.ask(&server, &create).await["createPostback"]["postbackId"].clone();
        let preview = format!(
            "{{ sendPastPreview(input: {{postbackId: {postback}}}) {{ isComplete countedUntil historyFrom deliveries }} }}"
        );
        let mut db = world.databases.pool.get().await.unwrap();
        // Nobody can read it: it might as well be endless.
        let lock = db.transaction().await.unwrap();
        lock.batch_execute(&format!("LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        let began = std::time::Instant::now();
        let found = world.ask(&server, &preview).await["sendPastPreview"].clone();
        assert!(began.elapsed() < std::time::Duration::from_secs(16), "{:?}", began.elapsed());
        lock.rollback().await.unwrap();
        assert_eq!((&found["isComplete"], &found["deliveries"]), (&json!(false), &json!(0)), "{found}");
        assert_eq!(found["countedUntil"], found["historyFrom"]);
        let found = world.ask(&server, &preview).await["sendPastPreview"].clone();
        assert_eq!((&found["isComplete"], &found["deliveries"]), (&json!(true), &json!(3)), "{found}");
    }
}
