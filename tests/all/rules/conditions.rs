//! Who hears what: conditions, and offers whose postbacks replace the global ones.

use std::process::Command;

use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;
use serde_json::{Value, json};

use super::reported;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

impl World {
    async fn owner(&self, server: &Server, query: &str) -> Value {
        self.graphql(server, &self.owner_token, query).await
    }

    /// A postback of the partner's made through the API, and its id.
    async fn make_postback(&self, server: &Server, tracker: &Tracker, rest: &str) -> String {
        let query = format!(
            r#"mutation {{ createPostback(input: {{ partnerId: "{}", urlTemplate: "{}/p?event={{event}}&txid={{txid}}", {rest} }})
               {{ postbackId }} }}"#,
            self.partner, tracker.url
        );
        let made = self.owner(server, &query).await;
        made["createPostback"]["postbackId"].as_str().unwrap().to_owned()
    }

    async fn explained(
        &self,
        server: &Server,
        token: &str,
        postback: &str,
        lead: &str,
        event: &str,
    ) -> Value {
        let query = format!(
            r#"{{ explainPostback(postbackId: "{postback}", leadId: "{lead}", event: {event}) {{
                  hearing message happened checks {{ concern passes message }}
                  delivery {{ state reason attempts }} }} }}"#
        );
        self.graphql(server, token, &query).await["explainPostback"].clone()
    }

    async fn deposit(&self, server: &Server, click: &str, request_id: &str, price: &str) -> String {
        let report =
            format!("click_id={click}&request_id={request_id}&action=deposit&price={price}&status=approved");
        reported(self, server, &report).await["lead_id"].as_str().unwrap().to_owned()
    }
}

fn txids(tracker: &Tracker) -> Vec<String> {
    let mut ids: Vec<_> = tracker.received().iter().map(|one| one.parameter("txid").unwrap()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn what_a_condition_keeps_back_is_skipped_and_says_why() {
    let world = World::new().await;
    let (picky, open) = (Tracker::start(OK).await, Tracker::start(OK).await);
    let server = Server::start(&world.databases).await;
    let condition = r#"events: [APPROVE], condition: "payout >= 10 && country in [\"\", \"DE\"]""#;
    let postback = world.make_postback(&server, &picky, condition).await;
    world.make_postback(&server, &open, "events: [APPROVE]").await;
    let click = world.click(&server, world.percent.1).await;
    // A quarter is the partner's.
    let low = world.deposit(&server, &click, "low", "18").await;
    let high = world.deposit(&server, &click, "high", "40").await;

    let attempts = world.attempts(&server, 4).await;
    assert_eq!(attempts.len(), 4, "{attempts:?}");
    assert_eq!(txids(&picky), ["high"]);
    assert_eq!(txids(&open), ["high", "low"]);
    let skipped: Vec<_> = attempts.iter().filter(|attempt| attempt["outcome"] == "SKIPPED").collect();
    let [skipped] = skipped.as_slice() else { panic!("{attempts:?}") };
    let why = "condition not met: payout >= 10 (payout = 4.50)";
    for (field, value) in [
        ("reason", json!(why)),
        ("errorKind", json!("CONDITION")),
        ("leadId", json!(low)),
        ("attempt", json!(1)),
        ("responseCode", Value::Null),
    ] {
        assert_eq!(skipped[field], value, "{field}");
    }
    let rows = world
        .texts("SELECT state || ': ' || reason FROM deliveries_finished WHERE state <> 'delivered'")
        .await;
    assert_eq!(rows, [format!("skipped: {why}")]);

    // Both are explained, by what happened and by how it stands.
    let token = &world.owner_token;
    let explained = world.explained(&server, token, &postback, &low, "APPROVE").await;
    assert_eq!((&explained["hearing"], &explained["message"]), (&json!("SKIPPED"), &json!(why)));
    assert_eq!(explained["delivery"], json!({ "state": "skipped", "reason": why, "attempts": 1 }));
    let explained = world.explained(&server, token, &postback, &high, "APPROVE").await;
    assert_eq!((&explained["hearing"], &explained["happened"]), (&json!("SENT"), &json!(true)));
    assert_eq!(explained["delivery"]["state"], "delivered");
    let explained = world.explained(&server, token, &postback, &high, "REJECT").await;
    assert_eq!(explained["hearing"], "NOT_TOLD");
    assert_eq!(explained["message"], "it asks for approve, not for reject");
    assert_eq!((&explained["happened"], &explained["delivery"]), (&json!(false), &Value::Null));

    // Changed and removed, it counts from the next event on; the audit log has all of it.
    let set = |condition: &str| {
        format!(
            r#"mutation {{ updatePostback(input: {{postbackId: "{postback}", condition: "{condition}"}}) {{ condition }} }}"#
        )
    };
    let changed = world.owner(&server, &set("payout < 10")).await;
    assert_eq!(changed["updatePostback"]["condition"], "payout < 10");
    world.deposit(&server, &click, "low2", "18").await;
    let removed = world.owner(&server, &set("")).await;
    assert_eq!(removed["updatePostback"]["condition"], Value::Null);
    world.deposit(&server, &click, "any", "1000").await;
    world.until_settled().await;
    assert_eq!(txids(&picky), ["any", "high", "low2"]);
    let audited = world
        .texts("SELECT coalesce(after->>'condition', 'none') FROM audit_log WHERE action = 'update' ORDER BY audit_id")
        .await;
    assert_eq!(audited, ["payout < 10", "none"]);
}

#[tokio::test]
async fn clicks_forced_statuses_and_what_cannot_be_told_are_kept_back_too() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    world.make_postback(&server, &tracker, r#"events: [CLICK], condition: "utm_source == 'tiktok'""#).await;
    world.make_postback(&server, &tracker, r#"events: [REJECT], condition: "!(kind == 'deposit')""#).await;
    world.make_postback(&server, &tracker, r#"events: [FTD], condition: "double(fields.zone) > 1""#).await;
    for source in ["tiktok", "news"] {
        let url = server.url(&format!("/click/{}?utm_source={source}", world.percent.1));
        assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);
    }
    let received = tracker.until_received(1).await;
    assert_eq!(received[0].parameter("event").as_deref(), Some("click"));
    let click = world.click(&server, world.percent.1).await;
    let lead = world.deposit(&server, &click, "a", "10").await;
    let force = format!(
        r#"mutation {{ forceStatus(input: {{leadId: "{lead}", status: REJECTED, note: "x"}}) {{ status }} }}"#
    );
    world.owner(&server, &force).await;

    let attempts = world.attempts(&server, 5).await;
    let mut reasons: Vec<_> = attempts.iter().map(|attempt| attempt["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "",
            "condition not decidable: double(fields.zone), but \"\" is not a number",
            "condition not met: kind != \"deposit\" (kind = \"deposit\")",
            "condition not met: utm_source == \"tiktok\" (utm_source = \"\")",
            "condition not met: utm_source == \"tiktok\" (utm_source = \"news\")",
        ]
    );
    assert_eq!(tracker.received().len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 1);
}

#[tokio::test]
async fn a_wrong_condition_is_refused_with_its_place() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let query = r#"mutation { createPostback(input: { events: [APPROVE], urlTemplate: "https://t.example/",
                   condition: "payout >= 10 && contry == 'DE'" }) { postbackId } }"#;
    let request = world.client.post(server.url("/graphql")).bearer_auth(&world.owner_token);
    let answer: Value = request.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap();
    let error = &answer["errors"][0];
    assert_eq!(
        error["message"],
        "input.condition: at character 17: there is no contry; did you mean country?"
    );
    assert_eq!(error["extensions"]["field"], "input.condition");
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 0);
}

#[tokio::test]
async fn an_offers_postbacks_join_the_global_ones_or_replace_them() {
    let world = World::new().await;
    let [everywhere, of_offer, of_link] =
        [Tracker::start(OK).await, Tracker::start(OK).await, Tracker::start(OK).await];
    let server = Server::start(&world.databases).await;
    let global = world.make_postback(&server, &everywhere, "events: [HOLD, APPROVE]").await;
    let (offer, link) = world.percent;
    world.make_postback(&server, &of_offer, &format!("events: [APPROVE], offerId: \"{offer}\"")).await;
    world.make_postback(&server, &of_link, &format!("events: [APPROVE], linkId: \"{link}\"")).await;
    let click = world.click(&server, link).await;
    world.deposit(&server, &click, "joined", "10").await;

    let replace = format!(
        r#"mutation {{ updateOffer(input: {{offerId: "{offer}", offerPostbacks: REPLACE}}) {{ offerPostbacks }} }}"#
    );
    assert_eq!(world.owner(&server, &replace).await["updateOffer"]["offerPostbacks"], "REPLACE");
    let lead = world.deposit(&server, &click, "replaced", "10").await;
    let other = world.click(&server, world.fixed.1).await;
    let elsewhere = format!("click_id={other}&request_id=elsewhere&action=sale&status=hold");
    reported(&world, &server, &elsewhere).await;
    // Not told even of what the offer's own postbacks do not ask for.
    let held = format!("click_id={click}&request_id=held&action=deposit&price=1&status=hold");
    reported(&world, &server, &held).await;
    world.until_settled().await;
    assert_eq!(txids(&everywhere), ["elsewhere", "joined"]);
    for tracker in [&of_offer, &of_link] {
        assert_eq!(txids(tracker), ["joined", "replaced"]);
    }
    assert_eq!(world.count("SELECT count(*) FROM deliveries_finished").await, 6, "and nothing is skipped");

    let explained = world.explained(&server, &world.owner_token, &global, &lead, "APPROVE").await;
    assert_eq!(explained["hearing"], "NOT_TOLD");
    assert_eq!(explained["message"], "the offer's postbacks replace the global ones, and its owner has some");
    let failing: Vec<_> = explained["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["passes"] == false)
        .map(|check| check["concern"].as_str().unwrap())
        .collect();
    assert_eq!(failing, ["REPLACED"]);

    // Its partner is told the same, and so is the terminal.
    let own = tokens::create(&world.databases.pool, Grant::Partner(world.partner), "").await.unwrap().secret;
    let seen = world.explained(&server, &own, &global, &lead, "APPROVE").await;
    assert_eq!(seen["hearing"], "NOT_TOLD");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ricochet"));
    command.args(["postback", "explain", &global, &lead, "approve"]);
    command.env("DATABASE_URL", &world.databases.database_url);
    let said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.starts_with("not_told: the offer's postbacks replace"), "{said}");
}

#[tokio::test]
async fn what_a_caller_may_not_see_is_not_explained() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let query = format!(
        r#"mutation {{ createPostback(input: {{ events: [APPROVE], urlTemplate: "{}/p" }}) {{ postbackId }} }}"#,
        tracker.url
    );
    let made = world.owner(&server, &query).await;
    let platforms = made["createPostback"]["postbackId"].as_str().unwrap();
    let click = world.click(&server, world.percent.1).await;
    let lead = world.deposit(&server, &click, "a", "10").await;
    let own = tokens::create(&world.databases.pool, Grant::Partner(world.partner), "").await.unwrap().secret;
    let ask = |postback: &str, lead: &str| {
        format!(
            r#"{{ explainPostback(postbackId: "{postback}", leadId: "{lead}", event: APPROVE) {{ message }} }}"#
        )
    };
    let nobody = "0198d5f0-0000-7000-8000-000000000000";
    for (token, query, field) in [
        (&own, ask(platforms, &lead), "postbackId"),
        (&world.owner_token, ask(platforms, nobody), "leadId"),
        (&world.owner_token, ask(nobody, &lead), "postbackId"),
    ] {
        let request = world.client.post(server.url("/graphql")).bearer_auth(token);
        let answer: Value =
            request.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap();
        let told = &answer["errors"][0]["extensions"];
        assert_eq!((&told["code"], &told["field"]), (&json!("NOT_FOUND"), &json!(field)), "{query}");
    }
}
