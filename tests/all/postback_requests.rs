//! Postbacks with methods, headers and bodies: made through GraphQL, sent to a real tracker,
//! previewed, and refused where they could not work.

use ricochet::domain::composite::Composite;
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::{links, network, tokens};
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

/// A GraphQL string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

async fn answer(world: &World, server: &Server, token: &str, query: &str) -> Value {
    let request =
        world.client.post(server.url("/graphql")).bearer_auth(token).json(&json!({ "query": query }));
    request.send().await.unwrap().json().await.unwrap()
}

async fn create(world: &World, server: &Server, url: &str, rest: &str) -> Value {
    let query = format!(
        "mutation {{ createPostback(input: {{partnerId: \"{}\", events: [SALE], urlTemplate: {}, {rest}}}) {{
             postbackId method urlTemplate headers {{ name value }} bodyKind bodyTemplate contentType requiredMacros
             successRules {{ check text pointer otherwise }} translated {{ field from to }} }} }}",
        world.partner,
        quoted(url)
    );
    world.graphql(server, &world.owner_token, &query).await["createPostback"].clone()
}

/// Reports a sale of a new click, and returns the lead.
async fn sale(world: &World, server: &Server, parameters: &str) -> String {
    let click = world.click(server, world.fixed.1).await;
    let report = format!("click_id={click}&action=sale&status=new&{parameters}");
    let (status, answer) = world.report(server, &report).await;
    assert_eq!(status, 200, "{answer}");
    answer["lead_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_whole_request_reaches_the_tracker() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let body =
        r###"{"id":"{{lead_id}}","sum":[amount],"note":"##comment##","user":{fields.user|default:none}}"###;
    let made = create(
        &world,
        &server,
        &format!("{}/c/%txid%?s={{status|map:hold=new}}&items[sum]=1", tracker.url),
        &format!(
            r#"method: POST, bodyKind: JSON, bodyTemplate: {}, headers: [{{name: "X-Sub", value: "${{sub1}} {{country}}!"}}],
               requiredMacros: ["txid"], successRules: [{{check: CONTAINS, text: "OK"}}]"#,
            quoted(body)
        ),
    )
    .await;
    assert_eq!(
        made["urlTemplate"],
        format!("{}/c/{{txid}}?s={{status|map:hold=new}}&items[sum]=1", tracker.url)
    );
    assert_eq!(
        made["bodyTemplate"],
        r#"{"id":"{lead_id}","sum":{amount},"note":"{comment}","user":{fields.user|default:none}}"#
    );
    assert_eq!(made["headers"], json!([{ "name": "X-Sub", "value": "{sub1} {country}!" }]));
    assert_eq!(made["translated"][0], json!({ "field": "urlTemplate", "from": "%txid%", "to": "{txid}" }));
    assert_eq!(made["translated"][1]["field"], "headers[0].value");
    assert_eq!(made["successRules"][0]["otherwise"], "RETRY");

    let comment = "say \"hi\"\\\r\nX-Evil: 1 {status}";
    let parameters = serde_urlencoded::to_string([
        ("request_id", "r/1"),
        ("price", "25.00"),
        ("comment", comment),
        ("sub1", "a\r\nX-Evil: 2"),
    ])
    .unwrap();
    let lead = sale(&world, &server, &parameters).await;
    let received = &tracker.until_received(1).await[0];
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/c/r%2F1?s=new&items[sum]=1"));
    assert_eq!(received.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(received.header("x-evil"), None);
    let sub = received.header("x-sub").unwrap();
    assert!(sub.ends_with('!') && !sub.contains(char::is_control), "{sub:?}");
    let body: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(body["id"], lead.as_str());
    assert_eq!(body["sum"], json!(25.0));
    assert_eq!(body["user"], "none");
    assert!(body["note"].as_str().unwrap().contains("{status}"), "a value is never read as a template");
    let attempts = world.attempts(&server, 1).await;
    assert_eq!((attempts.len(), &attempts[0]["outcome"]), (1, &json!("DELIVERED")));
}

#[tokio::test]
async fn a_form_is_put_and_changed() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let made = create(
        &world,
        &server,
        &format!("{}/p", tracker.url),
        r#"method: PUT, bodyKind: FORM, bodyTemplate: "id={txid}&who={customer_id|default:a b}""#,
    )
    .await;
    sale(&world, &server, "request_id=1%262").await;
    let received = &tracker.until_received(1).await[0];
    assert_eq!((received.method.as_str(), received.body.as_str()), ("PUT", "id=1%262&who=a%20b"));
    assert_eq!(received.header("content-type").as_deref(), Some("application/x-www-form-urlencoded"));

    let change = format!(
        "mutation {{ updatePostback(input: {{postbackId: {}, method: GET, bodyKind: NONE}}) {{
             method bodyKind bodyTemplate urlTemplate }} }}",
        made["postbackId"]
    );
    let changed = world.graphql(&server, &world.owner_token, &change).await["updatePostback"].clone();
    assert_eq!(
        changed,
        json!({ "method": "GET", "bodyKind": "NONE", "bodyTemplate": "", "urlTemplate": format!("{}/p", tracker.url) })
    );
    sale(&world, &server, "request_id=2").await;
    let received = &tracker.until_received(2).await[1];
    assert_eq!((received.method.as_str(), received.body.as_str()), ("GET", ""));
    let audited = world
        .graphql(
            &server,
            &world.owner_token,
            "{ auditLog(filter: {entities: [POSTBACK], actions: [\"update\"]}) { edges { node { before after } } } }",
        )
        .await;
    let entry = &audited["auditLog"]["edges"][0]["node"];
    assert_eq!((&entry["before"]["method"], &entry["after"]["method"]), (&json!("PUT"), &json!("GET")));
}

#[tokio::test]
async fn what_is_not_fit_to_send_is_skipped_with_its_reason() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    create(
        &world,
        &server,
        &format!("{}/?u={{fields.user}}", tracker.url),
        r#"requiredMacros: ["fields.user"]"#,
    )
    .await;
    sale(&world, &server, "request_id=1").await;
    let attempts = world.attempts(&server, 1).await;
    assert_eq!(attempts[0]["outcome"], "SKIPPED");
    assert_eq!(attempts[0]["reason"], "not sent: the required macro {fields.user} is empty");
    sale(&world, &server, "request_id=2&user=7").await;
    let received = tracker.until_received(1).await;
    assert_eq!(received[0].parameter("u").as_deref(), Some("7"));
}

#[tokio::test]
async fn an_answer_of_200_may_be_a_refusal() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Echo("200 OK")).await;
    let server = Server::start(&world.databases).await;
    let rules = |check: &str, otherwise: &str| {
        format!(
            r#"retryScheduleMs: [50], successRules: [{{check: {check}, text: "accepted", otherwise: {otherwise}}}]"#
        )
    };
    create(&world, &server, &format!("{}/fail", tracker.url), &rules("CONTAINS", "FAIL")).await;
    create(&world, &server, &format!("{}/retry", tracker.url), &rules("CONTAINS", "RETRY")).await;
    create(&world, &server, &format!("{}/fine", tracker.url), &rules("NOT_CONTAINS", "FAIL")).await;
    sale(&world, &server, "request_id=1").await;
    let attempts = world.attempts(&server, 4).await;
    let mut outcomes: Vec<(&str, &str, &str)> = attempts
        .iter()
        .map(|attempt| {
            let text = |name: &str| attempt[name].as_str().unwrap();
            (text("outcome"), text("errorKind"), text("reason"))
        })
        .collect();
    outcomes.sort_unstable();
    let reason = "answered success, but the body does not contain \"accepted\"";
    let used_up = format!("{reason}; all 2 attempts are used up");
    assert_eq!(
        outcomes,
        [
            ("DELIVERED", "NONE", ""),
            ("FAILED", "REFUSED", reason),
            ("FAILED", "REFUSED", used_up.as_str()),
            ("RETRYING", "REFUSED", reason),
        ]
    );
}

#[tokio::test]
async fn every_fault_is_told_at_once_and_nothing_is_made() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let query = format!(
        r#"mutation {{ createPostback(input: {{partnerId: "{}", events: [], urlTemplate: "https://t.example/?c={{clikid}}",
             method: GET, bodyKind: JSON, bodyTemplate: "{{", timeoutMs: 1,
             headers: [{{name: "X", value: "ok"}}, {{name: "Host", value: "{{payot}}"}}]}}) {{ postbackId }} }}"#,
        world.partner
    );
    let said = answer(&world, &server, &world.owner_token, &query).await;
    let extensions = &said["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "BAD_INPUT");
    let fields: Vec<&str> = extensions["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "input.events",
            "input.timeoutMs",
            "input.urlTemplate",
            "input.headers[1].name",
            "input.headers[1].value",
            "input.bodyKind",
            "input.bodyTemplate"
        ]
    );
    assert_eq!(
        extensions["faults"][4]["message"],
        "the macro {payot} does not exist; did you mean {payout}?"
    );
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 0);
}

#[tokio::test]
async fn the_composite_is_rebuilt_of_what_the_event_knows() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let composite = Composite {
        fields: ["_", "clickid", "click_id", "txid", "any", "payout"].map(str::to_owned).to_vec(),
        ..Composite::revshare()
    };
    let db = world.databases.pool.get().await.unwrap();
    links::set_composite(&db, world.fixed.1, Some(&composite)).await.unwrap();
    let server = Server::start(&world.databases).await;
    create(&world, &server, &format!("{}/?t={{tracker}}", tracker.url), "").await;
    let came = "trID_7%23-%23c-1%23-%23%23-%23%23-%23%23-%23_trID";
    let url = server.url(&format!("/click/{}?format=json&tracker={came}", world.fixed.1));
    let click: Value = world.client.get(url).send().await.unwrap().json().await.unwrap();
    let click = click["click_id"].as_str().unwrap();
    world.report(&server, &format!("click_id={click}&request_id=r1&action=sale&status=new")).await;
    let received = tracker.until_received(1).await;
    let expected = format!("trID_7#-#c-1#-#{click}#-#r1#-##-#10.00_trID");
    assert_eq!(received[0].parameter("t").unwrap(), expected);
}

#[tokio::test]
async fn a_preview_sends_nothing_and_hides_secrets() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let selection =
        "{ method url headers { name value } body event skipReasons emptyMacros translated { to } }";
    let preview = async |input: String| {
        let query = format!("{{ previewPostback(input: {{{input}}}) {selection} }}");
        world.graphql(&server, &world.owner_token, &query).await["previewPostback"].clone()
    };
    let draft = format!(
        r#"urlTemplate: {}, method: POST, bodyKind: FORM, bodyTemplate: "token=t&id=[clickid]&n={{fields.none}}",
           headers: [{{name: "Authorization", value: "Bearer x"}}], requiredMacros: ["fields.none"]"#,
        quoted(&format!("{}/?key=secret&s={{status}}", tracker.url))
    );
    assert_eq!(
        preview(draft).await,
        json!({
            "method": "POST",
            "url": format!("{}/?key=[redacted]&s=approved", tracker.url),
            "headers": [
                { "name": "content-type", "value": "application/x-www-form-urlencoded" },
                { "name": "Authorization", "value": "[redacted]" },
            ],
            "body": "token=[redacted]&id=sample-click-1&n=",
            "event": "APPROVE",
            "skipReasons": ["the required macro {fields.none} is empty"],
            "emptyMacros": ["fields.none"],
            "translated": [{ "to": "{clickid}" }],
        })
    );
    let made = create(&world, &server, &format!("{}/?l={{lead_id}}&e={{event}}", tracker.url), "").await;
    let lead = sale(&world, &server, "request_id=1").await;
    tracker.until_received(1).await;
    let shown = preview(format!("postbackId: {}, leadId: \"{lead}\", event: SALE", made["postbackId"])).await;
    assert_eq!(shown["url"], format!("{}/?l={lead}&e=sale", tracker.url));
    assert_eq!(tracker.received().len(), 1, "nothing more was sent");
    let condition = r#"condition: "country == \"XX\" && payout > 1""#;
    let picky = create(&world, &server, &format!("{}/picky?l={{lead_id}}", tracker.url), condition).await;
    for on in [String::new(), format!(", leadId: \"{lead}\"")] {
        let shown = preview(format!("postbackId: {}{on}", picky["postbackId"])).await;
        let reasons = shown["skipReasons"].as_array().unwrap();
        assert_eq!(reasons.len(), 1, "{shown}");
        assert!(reasons[0].as_str().unwrap().starts_with("condition not met: country == \"XX\""), "{shown}");
    }

    let token = async |grant| tokens::create(&world.databases.pool, grant, "").await.unwrap().secret;
    let query = format!("{{ previewPostback(input: {{postbackId: {}}}) {{ url }} }}", made["postbackId"]);
    let own = answer(&world, &server, &token(Grant::Partner(world.partner)).await, &query).await;
    assert!(own["data"]["previewPostback"]["url"].as_str().unwrap().starts_with(&tracker.url), "{own}");
    let stranger = network::add_partner(&world.databases.pool.get().await.unwrap(), "other").await.unwrap();
    let stranger = token(Grant::Partner(stranger)).await;
    let refused = answer(&world, &server, &stranger, &query).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "NOT_FOUND");
    let reader = token(Grant::Bi(Scope::Everything)).await;
    let refused = answer(&world, &server, &reader, &query).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let nobody = r#"{ previewPostback(input: {leadId: "0198d5f0-0000-7000-8000-000000000000", urlTemplate: "https://t.example/"}) { url } }"#;
    let refused = answer(&world, &server, &world.owner_token, nobody).await;
    assert_eq!(refused["errors"][0]["extensions"]["field"], "input.leadId");
    let wrong = r#"{ previewPostback(input: {urlTemplate: "https://t.example/{nix}"}) { url } }"#;
    let refused = answer(&world, &server, &world.owner_token, wrong).await;
    assert_eq!(refused["errors"][0]["extensions"]["field"], "input.urlTemplate");
}

#[tokio::test]
async fn a_test_is_sent_once_marked_logged_and_audited() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("503 Away")).await;
    let server = Server::start(&world.databases).await;
    let made = create(&world, &server, &format!("{}/?c={{clickid}}&key=s3cret", tracker.url), "").await;
    let test = format!(
        "mutation {{ testPostback(input: {{postbackId: {}, event: SALE}}) {{
             attemptId method url event outcome reason errorKind responseCode responseBody firstByteUs totalUs }} }}",
        made["postbackId"]
    );
    let tested = world.graphql(&server, &world.owner_token, &test).await["testPostback"].clone();
    assert_eq!((&tested["outcome"], &tested["errorKind"]), (&json!("FAILED"), &json!("STATUS")));
    assert_eq!((&tested["reason"], &tested["responseCode"]), (&json!("answered 503"), &json!(503)));
    assert_eq!(tested["url"], format!("{}/?c=sample-click-1&key=[redacted]", tracker.url));
    assert!(tested["totalUs"].as_u64() >= tested["firstByteUs"].as_u64() && tested["totalUs"] != 0);
    tracker.behave(OK);
    let tested = world.graphql(&server, &world.owner_token, &test).await["testPostback"].clone();
    assert_eq!((&tested["outcome"], &tested["responseBody"]), (&json!("DELIVERED"), &json!("OK")));
    let received = tracker.received();
    assert_eq!(received.len(), 2, "each test is sent once");
    assert_eq!(received[1].parameter("key").as_deref(), Some("s3cret"));

    world.until_settled().await;
    let log =
        "{ tests: postbackLog(filter: {includeTests: true}) { edges { node { attemptId event outcome } } }
                 real: postbackLog { totalCount }
                 auditLog(filter: {actions: [\"test\"]}) { totalCount edges { node { entityId after } } } }";
    let log = world.graphql(&server, &world.owner_token, log).await;
    let newest = &log["tests"]["edges"][0]["node"];
    assert_eq!(
        (&newest["attemptId"], &newest["event"], &newest["outcome"]),
        (&tested["attemptId"], &json!("SALE"), &json!("DELIVERED"))
    );
    assert_eq!((&log["real"]["totalCount"], &log["auditLog"]["totalCount"]), (&json!(0), &json!(2)));
    let entry = &log["auditLog"]["edges"][0]["node"];
    assert_eq!((&entry["entityId"], &entry["after"]["response_code"]), (&made["postbackId"], &json!(200)));
}

#[tokio::test]
async fn a_postback_made_paused_is_tried_out_before_it_sends() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let made = create(&world, &server, &format!("{}/p?tx={{txid}}", tracker.url), "paused: true").await;
    let id = &made["postbackId"];
    let test = format!("mutation {{ testPostback(input: {{postbackId: {id}}}) {{ outcome }} }}");
    let tested = world.graphql(&server, &world.owner_token, &test).await;
    assert_eq!(tested["testPostback"]["outcome"], "DELIVERED");
    sale(&world, &server, "request_id=r-1").await;
    let list = "{ deliveries { nodes { state isPostbackPaused } } }";
    let waiting = world.graphql(&server, &world.owner_token, list).await["deliveries"]["nodes"].clone();
    assert_eq!(waiting, json!([{ "state": "WAITING", "isPostbackPaused": true }]));
    assert_eq!(tracker.received().len(), 1, "only the test was sent");
    let resume = format!("mutation {{ resumePostback(postbackId: {id}) {{ isPaused }} }}");
    assert_eq!(
        world.graphql(&server, &world.owner_token, &resume).await["resumePostback"],
        json!({ "isPaused": false })
    );
    let received = tracker.until_received(2).await;
    assert_eq!(received[1].parameter("tx").as_deref(), Some("r-1"));
}
