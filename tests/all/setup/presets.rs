//! Presets set up through the API, and what reaches the tracker.

use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

async fn ask(world: &World, server: &Server, query: &str) -> Value {
    let request = world.client.post(server.url("/graphql")).bearer_auth(&world.owner_token);
    request.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn every_preset_tells_its_tracker_what_it_promises() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let query = "{ presets(direction: OUTBOUND) { system values { name kind example }
                  postbacks { name events urlTemplate condition } } }";
    let presets = world.graphql(&server, &world.owner_token, query).await["presets"].clone();
    let mut promised: Vec<String> = Vec::new();
    // A number, which Prosper202 insists on.
    let (click_id, price) = ("4711", "40");
    for preset in presets.as_array().unwrap() {
        let system = preset["system"].as_str().unwrap();
        let values: Vec<(String, String)> = preset["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| {
                let is_origin = value["kind"] == "origin";
                let text =
                    if is_origin { tracker.url.clone() } else { value["example"].as_str().unwrap().into() };
                (value["name"].as_str().unwrap().to_owned(), text)
            })
            .collect();
        let given: Vec<String> =
            values.iter().map(|(name, value)| format!(r#"{{ name: "{name}", value: "{value}" }}"#)).collect();
        let mutation = format!(
            r#"mutation {{ setUpPreset(input: {{ system: "{system}", partnerId: "{}", values: [{}],
               registrationLinkId: "{}", baseUrl: "{}/", clickParameter: "clickid" }})
               {{ registrationLink postbacks {{ postbackId }} }} }}"#,
            world.partner,
            given.join(", "),
            world.percent.1,
            server.url("")
        );
        let made = world.graphql(&server, &world.owner_token, &mutation).await["setUpPreset"].clone();
        let link = made["registrationLink"].as_str().unwrap();
        assert!(link.starts_with(&server.url(&format!("/click/{}?clickid=", world.percent.1))), "{link}");
        // What it should come to, worked out by hand: a first deposit, approved.
        for postback in preset["postbacks"].as_array().unwrap() {
            for event in ["FTD", "APPROVE"] {
                if !postback["events"].as_array().unwrap().contains(&json!(event)) {
                    continue;
                }
                let mut url = postback["urlTemplate"].as_str().unwrap().to_owned();
                for (name, value) in &values {
                    url = url.replace(&format!("<{name}>"), value);
                }
                for (from, to) in [
                    ("<click>", click_id),
                    ("{payout}", "10.00"),
                    ("{txid}", "order-1"),
                    ("{currency}", "USD"),
                    ("{status}", "approved"),
                    ("{action}", "deposit"),
                ] {
                    url = url.replace(from, to);
                }
                promised.push(url);
            }
        }
    }
    let click = world.client.get(server.url(&format!("/click/{}?clickid={click_id}", world.percent.1)));
    assert_eq!(click.send().await.unwrap().status(), 302);
    let report =
        format!("click_id={click_id}&request_id=order-1&action=deposit&price={price}&status=approved");
    let (status, answer) = world.report(&server, &report).await;
    assert_eq!(status, 200, "{answer}");
    let lead = answer["lead_id"].as_str().unwrap();
    let mut promised: Vec<String> = promised.iter().map(|url| url.replace("{lead_id}", lead)).collect();
    world.until_settled().await;
    let mut received: Vec<String> = tracker.received().iter().map(|one| one.url.to_string()).collect();
    promised.sort();
    received.sort();
    assert!(promised.len() >= 10, "{promised:?}");
    assert_eq!(received, promised);
    assert_eq!(world.count("SELECT count(*) FROM deliveries_finished WHERE state = 'failed'").await, 0);
}

#[tokio::test]
async fn a_dry_run_and_a_wrong_value_make_nothing() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let mutation = |values: &str, rest: &str| {
        format!(
            r#"mutation {{ setUpPreset(input: {{ system: "keitaro", partnerId: "{}", values: [{values}] {rest} }})
               {{ dryRun isVerified registrationLink postbacks {{ name events urlTemplate condition postbackId }} }} }}"#,
            world.partner
        )
    };
    let values = r#"{ name: "domain", value: "t.example" }, { name: "key", value: "k1" }"#;
    let link = format!(
        r#", linkId: "{}", dryRun: true, extras: [{{ name: "fields.userid", value: "{{user_id}}" }}]"#,
        world.fixed.1
    );
    let shown = ask(&world, &server, &mutation(values, &link)).await["data"]["setUpPreset"].clone();
    assert_eq!((&shown["dryRun"], &shown["isVerified"]), (&json!(true), &json!(true)));
    assert_eq!(
        shown["registrationLink"],
        format!("/click/{}?clickid={{subid}}&fields.userid={{user_id}}", world.fixed.1)
    );
    assert_eq!(
        shown["postbacks"][1],
        json!({
            "name": "Sale", "events": ["APPROVE"], "condition": "kind != \"rebill\"", "postbackId": null,
            "urlTemplate": "https://t.example/k1/postback?subid={clickid}&status=sale&payout={payout}&tid={txid}&currency={currency}",
        })
    );
    for (values, rest, field) in [
        (values.replace("t.example", "t.example/x"), "", "input.domain"),
        (values.replace("\"key\"", "\"kee\""), "", "input.kee"),
        (values.to_owned(), r#", clickParameter: "a b""#, "input.parameter"),
        (values.to_owned(), r#", linkId: "0198d5f0-0000-7000-8000-000000000000""#, "input.linkId"),
    ] {
        let answer = ask(&world, &server, &mutation(&values, rest)).await;
        assert_eq!(answer["errors"][0]["extensions"]["field"], field, "{answer}");
    }
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM audit_log").await, 0);
    ask(&world, &server, &mutation(values, "")).await;
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 4);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE entity = 'postback'").await, 4);
}
