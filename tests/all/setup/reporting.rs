//! How others report, set up over GraphQL, and what the next real request makes of it.

use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::graphql::scope::{Grant, Scope};
use serde_json::{Value, json};

use super::mutations::{Network, OWNER, network, refused, text};
use crate::graphql::stage::Stage;
use crate::support::server::Server;
use crate::support::world::World;

async fn advertiser_of(world: &World, server: &Server) -> Value {
    let list = world.ask(server, "{ advertisers { edges { node { advertiserId } } } }").await;
    list["advertisers"]["edges"][0]["node"]["advertiserId"].clone()
}

#[tokio::test]
async fn a_word_that_is_set_is_understood_by_the_next_request() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let offer = world.fixed.0.0;
    let click = world.click(&server, world.fixed.1).await;
    let report = |id: &str| format!("click_id={click}&request_id={id}&action=sale&status=Won");
    assert_eq!(world.report(&server, &report("a")).await.0, 202);

    let set = |meaning: &str| {
        format!(
            r#"mutation {{ setStatusWord(input: {{offerId: "{offer}", word: " WON ", meaning: {meaning}}})
                 {{ word meaning offerId integrationId }} }}"#
        )
    };
    world.ask(&server, &set("REJECTED")).await;
    let made = world.ask(&server, &set("APPROVED")).await["setStatusWord"].clone();
    let expected = json!({"word": "won", "meaning": "APPROVED", "offerId": offer, "integrationId": null});
    assert_eq!(made, expected);
    assert_eq!(world.report(&server, &report("b")).await.0, 200);
    let listed = format!(
        r#"{{ statusWords(filter: {{offerId: "{offer}"}}) {{ totalCount edges {{ node {{ word meaning offerId integrationId }} }} }} }}"#
    );
    let words = async || world.ask(&server, &listed).await["statusWords"].clone();
    assert_eq!(words().await, json!({ "totalCount": 1, "edges": [{ "node": expected }] }));

    let remove = format!(r#"mutation {{ removeStatusWord(input: {{offerId: "{offer}", word: "Won"}}) }}"#);
    world.ask(&server, &remove).await;
    assert_eq!(words().await, json!({ "totalCount": 0, "edges": [] }));
    assert_eq!(world.report(&server, &report("c")).await.0, 202);

    let log = "{ auditLog(filter: {entities: [STATUS_WORD]}) { edges { node { action before after } } } }";
    let log = world.ask(&server, log).await["auditLog"]["edges"].clone();
    let log: Vec<&Value> = log.as_array().unwrap().iter().map(|edge| &edge["node"]).collect();
    let actions: Vec<&Value> = log.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["delete", "update", "create"]);
    assert_eq!(
        (&log[1]["before"]["meaning"], &log[1]["after"]["meaning"]),
        (&json!("rejected"), &json!("approved"))
    );
}

#[tokio::test]
async fn an_integration_of_a_preset_takes_a_real_request() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let advertiser = advertiser_of(&world, &server).await;
    let presets = "{ integrationPresets { system source verification urls { event path } } }";
    let presets = world.ask(&server, presets).await["integrationPresets"].clone();
    let hoqu = presets.as_array().unwrap().iter().find(|preset| preset["system"] == "HOQU").unwrap();
    assert_ne!(hoqu["source"], "");

    let create = format!(
        r#"mutation {{ createIntegration(input: {{advertiserId: {advertiser}, preset: "hoqu", offerId: "{}",
             answers: {{successBody: "thanks"}}}})
             {{ urls {{ event path }} integration {{ integrationId name inboundPath chatterfyPath hasSecret }} }} }}"#,
        world.fixed.0.0
    );
    let made = world.ask(&server, &create).await["createIntegration"].clone();
    let integration = &made["integration"];
    let id = text(&integration["integrationId"]);
    assert_eq!((&integration["name"], &integration["hasSecret"]), (&json!("HOQU"), &json!(false)));
    let url = text(&made["urls"][0]["path"]);
    assert!(url.starts_with(&format!("/in/{id}?")), "{url}");

    let click = world.click(&server, world.fixed.1).await;
    let send = async |request_id: &str, more: &str| {
        let filled = [
            ("{click_id}", click.as_str()),
            ("{request_id}", request_id),
            ("{action}", "sale"),
            ("{price}", "5"),
            ("{status}", "pending"),
            ("{comment}", "ok"),
        ];
        let path = filled.iter().fold(url.clone(), |url, (macro_, value)| url.replace(macro_, value));
        let answer = world.client.get(server.url(&format!("{path}{more}"))).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(send("h-1", "").await, (200, "thanks".into()));
    let taken = "SELECT count(*) FROM conversions WHERE request_id = 'h-1' AND status = 'hold'";
    assert_eq!(world.count(taken).await, 1);

    let secret = format!(
        r#"mutation {{ setIntegrationSecret(input: {{integrationId: "{id}", rule: REQUIRED}}) {{ secret }} }}"#
    );
    let secret = text(&world.ask(&server, &secret).await["setIntegrationSecret"]["secret"]);
    assert_eq!(send("h-2", "").await.0, 401);
    assert_eq!(send("h-2", &format!("&secret={secret}")).await.0, 200);
    let log = world.ask(&server, "{ auditLog { edges { node { before after } } } }").await.to_string();
    assert!(!log.contains(&secret) && log.contains(r#""secret_hash":"[redacted]""#), "{log}");

    let update = format!(
        r#"mutation {{ updateIntegration(input: {{integrationId: "{id}", name: "Off", offerId: null, isActive: false}})
             {{ name offerId isActive hasSecret answers {{ successBody }} }} }}"#
    );
    let expected = json!({"name": "Off", "offerId": null, "isActive": false, "hasSecret": true,
        "answers": {"successBody": "thanks"}});
    assert_eq!(world.ask(&server, &update).await["updateIntegration"], expected);
    assert_eq!(send("h-3", &format!("&secret={secret}")).await.0, 403);
}

#[tokio::test]
async fn a_composite_and_an_attribution_window_hold_from_the_next_request_on() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let link = world.fixed.1;
    let set = |composite: &str| {
        format!(
            r#"mutation {{ setLinkComposite(input: {{linkId: "{link}", composite: {composite}}})
                 {{ composite {{ ready separator fields accountParameter accountValue }} }} }}"#
        )
    };
    let made = world.ask(&server, &set("{ready: PPS}")).await["setLinkComposite"]["composite"].clone();
    assert_eq!((&made["ready"], &made["accountValue"]), (&json!("PPS"), &json!("66013")));
    let custom =
        r#"{custom: {parameter: "t", start: "", end: "", separator: "|", fields: ["clickid", "_"]}}"#;
    for (composite, query, expected) in [
        (
            "{ready: REVSHARE}",
            "id=500&tracker=trID_A1%23-%23T7%23-%23c-9%23-%23news_trID",
            "partner_clickid = 'c-9'",
        ),
        (custom, "t=c-8%7Cx", "partner_clickid = 'c-8'"),
        ("null", "t=c-7%7Cx", "parameters->>'t' = 'c-7|x'"),
    ] {
        world.ask(&server, &set(composite)).await;
        let url = server.url(&format!("/click/{link}?format=json&{query}"));
        let click: Value = world.client.get(url).send().await.unwrap().json().await.unwrap();
        let count = format!(
            "SELECT count(*) FROM clicks WHERE click_id = '{}' AND {expected}",
            text(&click["click_id"])
        );
        assert_eq!(world.count(&count).await, 1, "{composite}");
    }
    let shown = world.ask(&server, "{ links { edges { node { composite { ready } } } } }").await;
    assert_eq!(shown["links"]["edges"][0]["node"]["composite"], Value::Null);

    let advertiser = advertiser_of(&world, &server).await;
    let click = world.click(&server, link).await;
    let tomorrow = (chrono::Utc::now() + chrono::TimeDelta::hours(25)).format("%Y-%m-%dT%H:%M:%SZ");
    for (window, code) in [("24", 422), ("null", 200)] {
        let update = format!(
            "mutation {{ updateAdvertiser(input: {{advertiserId: {advertiser}, attributionWindowHours: {window}}}) \
             {{ name attributionWindowHours }} }}"
        );
        let updated = world.ask(&server, &update).await["updateAdvertiser"].clone();
        assert_eq!(updated["attributionWindowHours"].to_string(), window);
        assert_eq!(updated["name"], "Advertiser", "what is left out stays");
        let late = format!("click_id={click}&request_id=l&action=sale&status=paid&datetime={tomorrow}");
        assert_eq!(world.report(&server, &late).await.0, code, "{window}");
    }
}

#[actix_web::test]
async fn wrong_input_names_its_field_and_nobody_reaches_anothers() {
    let stage = Stage::set().await;
    let Network { advertiser, partner, offer, .. } = network(&stage).await;
    let other = network(&stage).await;
    let nobody = "0198d5f0-0000-7000-8000-000000000000";
    let link = format!(
        r#"mutation {{ createLink(input: {{offerId: "{offer}", partnerId: "{partner}"}}) {{ linkId }} }}"#
    );
    let link = text(&stage.data(OWNER, &link).await["createLink"]["linkId"]);
    let word = |place: &str, word: &str| {
        format!(r#"setStatusWord(input: {{{place} word: "{word}", meaning: IGNORE}}) {{ word }}"#)
    };
    let of_offer = format!(r#"offerId: "{offer}","#);
    let integration = |settings: &str| {
        format!(
            r#"createIntegration(input: {{advertiserId: "{advertiser}", {settings}}}) {{ integration {{ integrationId }} }}"#
        )
    };
    let composite =
        |text: &str| format!(r#"setLinkComposite(input: {{linkId: "{link}", {text}}}) {{ linkId }}"#);
    let custom =
        |settings: &str| composite(&format!(r#"composite: {{custom: {{start: "", end: "", {settings}}}}}"#));
    #[rustfmt::skip]
    let cases = [
        (word("", "x"), "BAD_INPUT", "input.advertiserId", "give one"),
        (word(&format!(r#"{of_offer} advertiserId: "{advertiser}","#), "x"), "BAD_INPUT", "input.offerId", "give one"),
        (word(&of_offer, "  "), "BAD_INPUT", "input.word", "1 to 255"),
        (word(&of_offer, r"a\u0000"), "BAD_INPUT", "input.word", "1 to 255"),
        (word(&format!(r#"integrationId: "{nobody}","#), "x"), "NOT_FOUND", "input.integrationId", "no such integration"),
        (format!(r#"removeStatusWord(input: {{{of_offer} word: "x"}})"#), "NOT_FOUND", "input.word", "no such word"),
        (integration(r#"preset: "Nobody's""#), "BAD_INPUT", "input.preset", "HOQU"),
        (integration(r#"isActive: true"#), "BAD_INPUT", "input.name", "write a name"),
        (integration(r#"name: "x", fieldMap: [{field: "clik", templates: ["{a}"]}]"#), "BAD_INPUT", "input.fieldMap", "clik: there is no such field"),
        (integration(r#"name: "x", fieldMap: [{field: "price", templates: []}, {field: "price", templates: []}]"#), "BAD_INPUT", "input.fieldMap", "mapped twice"),
        (integration(r#"name: "x", allowedNetworks: ["x"]"#), "BAD_INPUT", "input.allowedNetworks", "192.0.2.1"),
        (integration(r#"name: "x", answers: {successCode: 404}"#), "BAD_INPUT", "input.answers.successCode", "200 to 299"),
        (integration(r#"name: "x", answers: {refusalBody: "\u0000"}"#), "BAD_INPUT", "input.answers.refusalBody", "no NUL"),
        (integration(&format!(r#"name: "x", offerId: "{}""#, other.offer)), "NOT_FOUND", "input.offerId", "offer of the advertiser"),
        (r#"createIntegration(input: {preset: "HOQU"}) { urls { path } }"#.into(), "BAD_INPUT", "input.advertiserId", "whose"),
        (composite(""), "BAD_INPUT", "input.composite", "or null"),
        (composite("composite: {}"), "BAD_INPUT", "input.composite", "REVSHARE or PPS"),
        (custom(r#"parameter: "link", separator: "|", fields: ["a"]"#), "BAD_INPUT", "input.composite.custom.parameter", "taken"),
        (custom(r#"parameter: "t", separator: "x", fields: ["a"]"#), "BAD_INPUT", "input.composite.custom.separator", "sign"),
        (custom(r#"parameter: "t", separator: "|", fields: ["a"], accountValue: "1""#), "BAD_INPUT", "input.composite.custom.accountParameter", "name the parameter"),
        (format!(r#"updateAdvertiser(input: {{advertiserId: "{advertiser}", attributionWindowHours: 0}}) {{ name }}"#), "BAD_INPUT", "input.attributionWindowHours", "1 to 87600"),
    ];
    for (mutation, code, field, remedy) in cases {
        let said = refused(&stage, OWNER, &mutation).await;
        assert_eq!((said.0.as_str(), said.1.as_str()), (code, field), "{mutation}: {}", said.2);
        assert!(said.2.contains(remedy), "{mutation}: {}", said.2);
    }

    // Its own an advertiser sets up and sees; another's does not exist, and a partner sees none.
    let own = AdvertiserId(advertiser.parse().unwrap());
    let as_advertiser = Grant::Advertiser(own);
    let as_other = Grant::Advertiser(AdvertiserId(other.advertiser.parse().unwrap()));
    let as_partner = Grant::Partner(PartnerId(partner.parse().unwrap()));
    let create =
        r#"mutation { createIntegration(input: {preset: "HOQU"}) { integration { integrationId } } }"#;
    let made = stage.data(as_advertiser, create).await;
    let id = text(&made["createIntegration"]["integration"]["integrationId"]);
    stage.data(as_advertiser, &format!("mutation {{ {} }}", word(&of_offer, "x"))).await;
    #[rustfmt::skip]
    let foreign = [
        (word(&of_offer, "x"), "input.offerId"),
        (format!(r#"removeStatusWord(input: {{{of_offer} word: "x"}})"#), "input.offerId"),
        (integration(r#"name: "x""#), "input.advertiserId"),
        (format!(r#"updateIntegration(input: {{integrationId: "{id}", isActive: false}}) {{ name }}"#), "input.integrationId"),
        (format!(r#"setIntegrationSecret(input: {{integrationId: "{id}", rule: REQUIRED}}) {{ secret }}"#), "input.integrationId"),
    ];
    for (mutation, field) in foreign {
        let said = refused(&stage, as_other, &mutation).await;
        assert_eq!((said.0.as_str(), said.1.as_str()), ("NOT_FOUND", field), "{mutation}");
    }
    let seen = "{ integrations { totalCount edges { node { integrationId } } } statusWords { edges { node { word offerId } } } }";
    for (grant, integrations) in [
        (OWNER, 1),
        (as_advertiser, 1),
        (Grant::Bi(Scope::Advertiser(own)), 1),
        (as_other, 0),
        (as_partner, 0),
    ] {
        let data = stage.data(grant, seen).await;
        assert_eq!(data["integrations"]["totalCount"], integrations, "{grant:?}");
        assert_eq!(data["integrations"]["edges"].as_array().unwrap().len(), integrations, "{grant:?}");
        let words = data["statusWords"]["edges"].as_array().unwrap();
        let at_offer = words.iter().filter(|word| word["node"]["offerId"] == offer.as_str()).count();
        assert_eq!(at_offer, integrations, "{grant:?}");
    }
}
