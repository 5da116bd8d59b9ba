//! Postbacks as people find them, and those that would tell everything twice.

use std::collections::BTreeSet;

use ricochet::graphql::scope::Grant;
use ricochet::store::network;
use ricochet::store::tokens;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::world::World;

async fn ask(world: &World, server: &Server, token: &str, query: &str) -> Value {
    let request = world.client.post(server.url("/graphql")).bearer_auth(token);
    request.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap()
}

fn create(rest: &str) -> String {
    format!("mutation {{ createPostback(input: {{ {rest} }}) {{ postbackId name }} }}")
}

fn id_of(answer: &Value) -> String {
    answer["data"]["createPostback"]["postbackId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

const URL: &str = r#"urlTemplate: "https://t.example/in?cid={clickid}&sum={payout}""#;

#[tokio::test]
async fn what_would_be_told_twice_is_refused_unless_it_is_meant() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let partner = world.partner;
    let owners = world.owner_token.as_str();
    let of = format!(r#"partnerId: "{partner}""#);
    let first = create(&format!(r#"{of}, name: "Mine", events: [APPROVE, REJECT], {URL}"#));
    let first = id_of(&ask(&world, &server, owners, &first).await);

    // The same in other words, and for one of its events only.
    for twin in [
        format!("{of}, events: [HOLD, APPROVE], {URL}"),
        format!(r#"{of}, events: [APPROVE], urlTemplate: "https://t.example/in?cid=[clickid]&sum=[payout]""#),
        format!(r#"{of}, events: [REJECT], {URL}, name: "Another""#),
    ] {
        let answer = ask(&world, &server, owners, &create(&twin)).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["field"], "input.allowDuplicate", "{answer}");
        assert_eq!(error["extensions"]["code"], "BAD_INPUT");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("postback {first} (Mine)")), "{message}");
    }
    let other = network::add_partner(&world.databases.pool.get().await.unwrap(), "Other").await.unwrap();
    let mut made = Vec::new();
    for different in [
        format!("{of}, events: [SALE], {URL}"),
        format!(r#"{of}, events: [APPROVE], {URL}, condition: "payout > 5""#),
        format!(r#"{of}, events: [APPROVE], {URL}, offerId: "{}""#, world.fixed.0),
        format!(r#"{of}, events: [APPROVE], {URL}, linkId: "{}""#, world.fixed.1),
        format!(
            r#"{of}, events: [APPROVE], {URL}, method: POST, bodyKind: FORM, bodyTemplate: "a={{txid}}""#
        ),
        format!(
            r#"{of}, events: [APPROVE], {URL}, method: POST, bodyKind: FORM, bodyTemplate: "b={{txid}}""#
        ),
        format!(r#"partnerId: "{other}", events: [APPROVE], {URL}"#),
        format!("events: [APPROVE], {URL}"),
        format!("{of}, events: [APPROVE], {URL}, allowDuplicate: true"),
    ] {
        made.push(id_of(&ask(&world, &server, owners, &create(&different)).await));
    }
    let refused = ask(&world, &server, owners, &create(&format!("events: [APPROVE], {URL}"))).await;
    assert_eq!(refused["errors"][0]["extensions"]["field"], "input.allowDuplicate", "{refused}");

    // A change may not make two of what was none, but those that are meant can be changed.
    let update = async |id: &str, rest: &str| {
        let update = format!(
            r#"mutation {{ updatePostback(input: {{ postbackId: "{id}", {rest} }}) {{ postbackId }} }}"#
        );
        ask(&world, &server, owners, &update).await["errors"][0]["extensions"]["field"].clone()
    };
    assert_eq!(update(&made[0], "events: [SALE, REJECT]").await, "input.allowDuplicate");
    assert_eq!(update(&made[1], r#"condition: """#).await, "input.allowDuplicate");
    assert_eq!(update(&made[0], "events: [SALE, REJECT], allowDuplicate: true").await, Value::Null);
    assert_eq!(update(made.last().unwrap(), "timeoutMs: 5000").await, Value::Null);
    assert_eq!(update(&first, r#"name: "Still mine""#).await, Value::Null);

    // What is deleted is no twin.
    let fresh = format!(r#"events: [APPROVE], urlTemplate: "https://t.example/fresh?c={{clickid}}", {of}"#);
    let gone = id_of(&ask(&world, &server, owners, &create(&fresh)).await);
    ask(&world, &server, owners, &format!(r#"mutation {{ deletePostback(postbackId: "{gone}") }}"#)).await;
    id_of(&ask(&world, &server, owners, &create(&fresh)).await);
}

#[tokio::test]
async fn of_many_that_are_made_at_once_one_wins() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let token =
        tokens::create(&world.databases.pool, Grant::Partner(world.partner), "").await.unwrap().secret;
    let query = create(&format!("events: [APPROVE], {URL}"));
    let asked = (0..8).map(|_| ask(&world, &server, &token, &query));
    let answers = futures_util::future::join_all(asked).await;
    let made = answers.iter().filter(|answer| answer["errors"].is_null()).count();
    assert_eq!(made, 1, "{answers:?}");
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 1);

    let keitaro = format!(
        r#"mutation {{ setUpPreset(input: {{ system: "Keitaro", values: [{}] ARGUMENTS }})
           {{ postbacks {{ postbackId }} }} }}"#,
        r#"{ name: "domain", value: "k.example" }, { name: "key", value: "k" }"#
    );
    let twice = keitaro.replace("ARGUMENTS", "");
    let asked = (0..4).map(|_| ask(&world, &server, &token, &twice));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer["errors"].is_null()).count(), 1, "{answers:?}");
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 3);
    let again = ask(&world, &server, &token, &keitaro.replace("ARGUMENTS", ", dryRun: true")).await;
    let error = &again["errors"][0];
    assert_eq!(error["extensions"]["field"], "input.allowDuplicate", "{again}");
    assert!(error["message"].as_str().unwrap().contains("(Keitaro: Status)"), "{again}");
    let meant = ask(&world, &server, &token, &keitaro.replace("ARGUMENTS", ", allowDuplicate: true")).await;
    assert_eq!(meant["errors"], Value::Null);
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 5);
}

#[tokio::test]
async fn postbacks_are_named_and_found() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let (partner, owners) = (world.partner, world.owner_token.as_str());
    let of = format!(r#"partnerId: "{partner}""#);
    let one = |rest: String| create(&format!("events: [APPROVE], {rest}"));
    let url = |path: &str| format!(r#"urlTemplate: "https://t.example/{path}?c={{clickid}}""#);
    let platform = one(format!(r#"name: "  Our CRM ", {}"#, url("crm")));
    let platform = id_of(&ask(&world, &server, owners, &platform).await);
    let own = id_of(&ask(&world, &server, owners, &one(format!("{of}, {}", url("Own_100%")))).await);
    let offer = one(format!(r#"{of}, offerId: "{}", {}"#, world.fixed.0, url("offer")));
    let offer = id_of(&ask(&world, &server, owners, &offer).await);
    let link = one(format!(r#"{of}, linkId: "{}", {}"#, world.fixed.1, url("link")));
    let link = id_of(&ask(&world, &server, owners, &link).await);
    let preset = format!(
        r#"mutation {{ setUpPreset(input: {{ system: "voluum", {of}, values: [{{ name: "domain", value: "v.example" }}] }})
           {{ postbacks {{ postbackId }} }} }}"#
    );
    let preset =
        ask(&world, &server, owners, &preset).await["data"]["setUpPreset"]["postbacks"][0]["postbackId"]
            .as_str()
            .unwrap()
            .to_owned();
    ask(&world, &server, owners, &format!(r#"mutation {{ pausePostback(postbackId: "{own}") {{ name }} }}"#))
        .await;
    let name = async |name: &str| {
        let update = format!(
            r#"mutation {{ updatePostback(input: {{ postbackId: "{link}", name: {name:?} }}) {{ name }} }}"#
        );
        ask(&world, &server, owners, &update).await
    };
    assert_eq!(name("Gone soon").await["data"]["updatePostback"]["name"], "Gone soon");
    assert_eq!(name("").await["data"]["updatePostback"]["name"], Value::Null);
    assert_eq!(name("a\nb").await["errors"][0]["extensions"]["field"], "input.name");

    let found = async |token: &str, filter: &str| {
        let query =
            format!("{{ postbacks(filter: {{ {filter} }}) {{ edges {{ node {{ postbackId }} }} }} }}");
        let answer = ask(&world, &server, token, &query).await;
        let edges = answer["data"]["postbacks"]["edges"].as_array().unwrap_or_else(|| panic!("{answer}"));
        edges
            .iter()
            .map(|edge| edge["node"]["postbackId"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let of_partner = [&own, &offer, &link, &preset];
    for (filter, expected) in [
        ("owner: PLATFORM".to_owned(), &[&platform][..]),
        ("owner: PARTNER".to_owned(), &of_partner),
        ("owner: ADVERTISER".to_owned(), &[]),
        (of.clone(), &of_partner),
        (format!(r#"offerId: "{}""#, world.fixed.0), &[&offer, &link]),
        (format!(r#"linkId: "{}""#, world.fixed.1), &[&link]),
        (format!(r#"offerId: "{}""#, world.percent.0), &[]),
        ("scope: OFFER".to_owned(), &[&offer]),
        ("scope: LINK".to_owned(), &[&link]),
        (format!("scope: GLOBAL, {of}"), &[&own, &preset]),
        ("isPaused: true".to_owned(), &[&own]),
        ("isPaused: false, owner: PARTNER".to_owned(), &[&offer, &link, &preset]),
        ("isFailing: true".to_owned(), &[]),
        (r#"text: "our crm""#.to_owned(), &[&platform]),
        (r#"text: "own_100%""#.to_owned(), &[&own]),
        (r#"text: "%""#.to_owned(), &[&own]),
        (r#"text: "VOLUUM: conv""#.to_owned(), &[&preset]),
        (r#"preset: "VOLUUM""#.to_owned(), &[&preset]),
        (r#"preset: "Keitaro""#.to_owned(), &[]),
    ] {
        let expected: BTreeSet<String> = expected.iter().map(|id| (*id).clone()).collect();
        assert_eq!(found(owners, &filter).await, expected, "{filter}");
    }

    // One by its id; what is another's is not there.
    let token = tokens::create(&world.databases.pool, Grant::Partner(partner), "").await.unwrap().secret;
    let one = async |token: &str, id: &str| {
        let query = format!(r#"{{ postback(id: "{id}") {{ name preset owner urlTemplate }} }}"#);
        ask(&world, &server, token, &query).await["data"]["postback"].clone()
    };
    assert_eq!(one(owners, &platform).await["name"], "Our CRM");
    assert_eq!(one(&token, &platform).await, Value::Null);
    let shown = one(&token, &preset).await;
    assert_eq!((&shown["name"], &shown["preset"]), (&json!("Voluum: Conversion"), &json!("Voluum")));
    assert!(found(&token, "owner: PLATFORM").await.is_empty());
    let wrong = ask(&world, &server, owners, r#"{ postback(id: "x") { name } }"#).await;
    assert_eq!(wrong["errors"][0]["extensions"]["field"], "id", "{wrong}");
}
