//! Presets set up through the API, and what reaches the tracker.

use ricochet::domain::event::ActionKind;
use ricochet::domain::ids::LinkId;
use ricochet::domain::money::Currency;
use ricochet::domain::payout::{PartnerPayout, PayoutModel};
use ricochet::graphql::scope::Grant;
use ricochet::store::network::{self, NewAction};
use ricochet::store::tokens;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const AUDITED: &str = "SELECT count(*) FROM audit_log";

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
    let offer = world.percent.0.to_string();
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
        let kind_of = |name: &str| {
            let values = preset["values"].as_array().unwrap();
            values.iter().find(|value| value["name"] == name).unwrap()["kind"].as_str().unwrap().to_owned()
        };
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
            let condition = postback["condition"].as_str().unwrap_or_default();
            if condition.starts_with("kind_event == ") && condition != "kind_event == \"ftd\"" {
                continue;
            }
            for event in ["FTD", "APPROVE"] {
                if !postback["events"].as_array().unwrap().contains(&json!(event)) {
                    continue;
                }
                let mut url = postback["urlTemplate"].as_str().unwrap().to_owned();
                for (name, value) in &values {
                    match kind_of(name).as_str() {
                        "added" => url += &format!("&{name}={value}"),
                        _ => url = url.replace(&format!("<{name}>"), value),
                    }
                }
                for (from, to) in [
                    ("<click>", click_id),
                    ("{payout}", "10.00"),
                    ("{txid}", "order-1"),
                    ("{currency}", "USD"),
                    ("{status}", "approved"),
                    ("{status|map:hold=lead,approved=sale,rejected=rejected}", "sale"),
                    ("{status|map:hold=Pending,approved=Approved,rejected=Declined}", "Approved"),
                    ("{action}", "deposit"),
                    ("{event}", if event == "FTD" { "ftd" } else { "approve" }),
                    ("{offer_id}", &offer),
                    ("{amount}", price),
                    // The click has no subs.
                    ("{sub1}", ""),
                    ("{sub2}", ""),
                    ("{sub3}", ""),
                    ("{sub4}", ""),
                    ("{sub5}", ""),
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
    let audited = world.count(AUDITED).await;
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
        shown["postbacks"][0],
        json!({
            "name": "Status", "events": ["HOLD", "APPROVE", "REJECT"], "postbackId": null,
            "condition": "kind_event != \"rebill\"",
            "urlTemplate": "https://t.example/k1/postback?subid={clickid}&status={status|map:hold=lead,approved=sale,rejected=rejected}&payout={payout}&tid={txid}&currency={currency}",
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
    assert_eq!(world.count(AUDITED).await, audited);
    ask(&world, &server, &mutation(values, "")).await;
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE entity = 'postback'").await, 2);
}

/// An offer with a registration and a repeatable deposit, of an advertiser's, and the partner's link.
async fn casino(world: &World) -> (String, LinkId) {
    let db = world.databases.pool.get().await.unwrap();
    let advertiser = network::add_advertiser(&db, "Casino").await.unwrap();
    let kinds = [("signup", ActionKind::Registration, false), ("deposit", ActionKind::Deposit, true)];
    let actions = kinds.map(|(name, kind, repeatable)| NewAction {
        name,
        kind,
        payout_model: PayoutModel::Fixed,
        advertiser_rate: Decimal::TEN,
        commission_percent: Decimal::ZERO,
        payout: PartnerPayout::Amount(Decimal::TEN),
        currency: Currency::parse("USD").unwrap(),
        repeatable,
    });
    let offer = network::add_offer(&db, advertiser, "Casino", "https://x.example/", &actions).await.unwrap();
    (advertiser.to_string(), network::add_link(&db, offer, world.partner).await.unwrap())
}

/// The answered URL of an event, with the other system's macros filled in; what it answers.
async fn paste(world: &World, setup: &Value, event: &str, filled: &[(&str, &str)]) -> Value {
    let urls = setup["inboundUrls"].as_array().unwrap();
    let url = urls.iter().find(|one| one["event"] == event).unwrap()["url"].as_str().unwrap();
    let url = filled.iter().fold(url.to_owned(), |url, (name, value)| {
        assert!(url.contains(name), "{url}: {name}");
        url.replace(name, value)
    });
    assert!(!url.contains('{'), "{url}");
    let answer = world.client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}: {}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_program_that_reports_gets_its_urls_and_its_reports_are_conversions() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let (advertiser, link) = casino(&world).await;
    let mutation = |rest: &str| {
        format!(
            r#"mutation {{ setUpPreset(input: {{ system: "1win", registrationLinkId: "{link}", baseUrl: "{}/",
                 programUrl: "https://1win.example/?p=abc", extras: [{{ name: "sub2", value: "{{user_id}}" }}] {rest} }})
               {{ system isVerified dryRun integrationId registrationLink programLink
                  postbacks {{ name }} inboundUrls {{ event url }} }} }}"#,
            server.url("")
        )
    };
    let everything = "SELECT (SELECT count(*) FROM integrations) + (SELECT count(*) FROM status_words)
                      + (SELECT count(*) FROM audit_log)";
    let before = world.count(everything).await;
    let shown = world.graphql(&server, &world.owner_token, &mutation(", dryRun: true")).await;
    let shown = shown["setUpPreset"].clone();
    assert_eq!((&shown["dryRun"], &shown["integrationId"]), (&json!(true), &Value::Null));
    assert_eq!(shown["inboundUrls"].as_array().unwrap().len(), 3);
    let stand_in = server.url("/in/{integration_id}?sub1={sub1}");
    assert!(shown["inboundUrls"][0]["url"].as_str().unwrap().starts_with(&stand_in), "{shown}");
    assert_eq!(world.count(everything).await, before);

    let setup = world.graphql(&server, &world.owner_token, &mutation("")).await["setUpPreset"].clone();
    assert_eq!((&setup["isVerified"], &setup["postbacks"]), (&json!(false), &json!([])));
    assert_eq!(setup["registrationLink"], server.url(&format!("/click/{link}?sub2={{user_id}}")));
    assert_eq!(setup["programLink"], "https://1win.example/?p=abc&sub1={click_id}");
    let id = setup["integrationId"].as_str().unwrap();
    let owner = format!(
        "SELECT count(*) FROM integrations WHERE integration_id = '{id}' AND advertiser_id = '{advertiser}'"
    );
    assert_eq!(world.count(&owner).await, 1);
    let audited = format!("SELECT count(*) FROM audit_log WHERE entity_id = '{id}' AND action = 'create'");
    assert_eq!(world.count(&audited).await, 1);

    let click = world.click(&server, link).await;
    let filled = |event_id, amount| {
        [("{sub1}", click.as_str()), ("{amount}", amount), ("{event_id}", event_id), ("{user_id}", "501")]
    };
    paste(&world, &setup, "Registration", &filled("w1", "")).await;
    paste(&world, &setup, "First Deposit", &filled("w2", "30")).await;
    paste(&world, &setup, "Recurring Deposit", &filled("w3", "10.5")).await;
    let conversions = "{ conversions { edges { node { requestId action status } } } }";
    let seen = world.graphql(&server, &world.owner_token, conversions).await;
    let mut seen: Vec<String> = seen["conversions"]["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            format!("{} {} {}", edge["node"]["requestId"], edge["node"]["action"], edge["node"]["status"])
        })
        .collect();
    seen.sort();
    let expected = ["w1\" \"signup", "w2\" \"deposit", "w3\" \"deposit"];
    assert_eq!(seen, expected.map(|one| format!("\"{one}\" \"APPROVED\"")));
}

#[tokio::test]
async fn a_system_of_two_halves_gets_both_or_the_one_asked_for() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let (_, link) = casino(&world).await;
    let mutation = |rest: &str| {
        format!(
            r#"mutation {{ setUpPreset(input: {{ system: "Chatterfy", baseUrl: "{}" {rest} }})
               {{ integrationId registrationLink postbacks {{ name postbackId }} inboundUrls {{ event url }} }} }}"#,
            server.url("")
        )
    };
    let told = format!(
        r#", partnerId: "{}", values: [{{ name: "domain", value: "{}" }},
             {{ name: "uuid", value: "0198d5f0-0000-7000-8000-000000000000" }}]"#,
        world.partner, tracker.url
    );
    let linked = format!(r#"{told}, registrationLinkId: "{link}""#);

    let made = "SELECT (SELECT count(*) FROM integrations) + (SELECT count(*) FROM postbacks)
                + (SELECT count(*) FROM audit_log)";
    let before = world.count(made).await;
    // Nothing is half made: what the other half wants is said, and the first is not kept.
    for (rest, field) in [
        (told.clone(), "input.integrationAdvertiserId"),
        (format!("{linked}, direction: INBOUND"), "input.values"),
        (format!(r#"{linked}, programUrl: "1win""#), "input.programUrl"),
        (
            format!(r#"{told}, integrationAdvertiserId: "0198d5f0-0000-7000-8000-000000000000""#),
            "input.advertiserId",
        ),
    ] {
        let answer = ask(&world, &server, &mutation(&rest)).await;
        assert_eq!(answer["errors"][0]["extensions"]["field"], field, "{answer}");
    }
    assert_eq!(world.count(made).await, before);
    let only = ask(&world, &server, &mutation(&format!("{told}, direction: OUTBOUND, dryRun: true"))).await;
    let only = &only["data"]["setUpPreset"];
    assert_eq!((only["postbacks"].as_array().unwrap().len(), &only["inboundUrls"]), (3, &json!([])));

    let setup = ask(&world, &server, &mutation(&linked)).await["data"]["setUpPreset"].clone();
    assert_eq!(setup["registrationLink"], server.url(&format!("/click/{link}?sub4={{{{tracker.clickid}}}}")));
    assert_eq!(world.count("SELECT count(*) FROM integrations").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM postbacks").await, 3);

    // Chatterfy's visitor comes by the link; the program reports in Chatterfy's format.
    let url = setup["registrationLink"].as_str().unwrap().replace("{{tracker.clickid}}", "chat-7");
    let click: Value =
        world.client.get(format!("{url}&format=json")).send().await.unwrap().json().await.unwrap();
    let click = click["click_id"].as_str().unwrap();
    paste(&world, &setup, "Registration", &[("{clickid}", click)]).await;
    let deposit =
        |id| [("{clickid}", click), ("{amount}", "20"), ("{currency}", "USD"), ("{transaction_id}", id)];
    paste(&world, &setup, "First Deposit", &deposit("d1")).await;
    paste(&world, &setup, "Recurring Deposit", &deposit("d2")).await;
    world.until_settled().await;
    let mut heard: Vec<_> = tracker
        .received()
        .iter()
        .map(|one| {
            let of = |name| one.parameter(name).unwrap_or_default();
            (of("tracker.event"), of("clickid"), of("tracker.tid"))
        })
        .collect();
    heard.sort();
    let expected = [("registration", ""), ("resale", "d2"), ("sale", "")];
    assert_eq!(heard, expected.map(|(event, tid)| (event.into(), "chat-7".into(), tid.into())));
}

#[tokio::test]
async fn a_partner_sets_a_tracker_up_for_itself_and_nothing_else() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let db = world.databases.pool.get().await.unwrap();
    let other = network::add_partner(&db, "Other").await.unwrap();
    let others_link = network::add_link(&db, world.fixed.0, other).await.unwrap();
    let token = tokens::create(&world.databases.pool, Grant::Partner(other), "").await.unwrap().secret;
    let advertiser = "SELECT advertiser_id FROM offers LIMIT 1";
    let advertiser: uuid::Uuid = db.query_one(advertiser, &[]).await.unwrap().get(0);
    let ask = async |system: &str, rest: &str| {
        let values = match system {
            "Keitaro" => r#"{ name: "domain", value: "k.example" }, { name: "key", value: "k" }"#,
            "Chatterfy" => r#"{ name: "uuid", value: "0198d5f0-0000-7000-8000-000000000000" }"#,
            _ => "",
        };
        let mutation = format!(
            r#"mutation {{ setUpPreset(input: {{ system: "{system}", values: [{values}] {rest} }})
               {{ registrationLink integrationId inboundUrls {{ event }} postbacks {{ postbackId }} }} }}"#
        );
        let request = world.client.post(server.url("/graphql")).bearer_auth(&token);
        let request = request.json(&json!({ "query": mutation }));
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let everything = "SELECT (SELECT count(*) FROM integrations) + (SELECT count(*) FROM postbacks)";
    for (system, rest, code, field) in [
        ("Keitaro", format!(r#", partnerId: "{}""#, world.partner), "NOT_FOUND", "input.partnerId"),
        ("Keitaro", format!(r#", advertiserId: "{advertiser}""#), "NOT_FOUND", "input.advertiserId"),
        ("Keitaro", format!(r#", offerId: "{}""#, world.percent.0), "NOT_FOUND", "input.offerId"),
        ("Keitaro", format!(r#", linkId: "{}""#, world.fixed.1), "NOT_FOUND", "input.linkId"),
        (
            "Keitaro",
            format!(r#", registrationLinkId: "{}""#, world.fixed.1),
            "NOT_FOUND",
            "input.registrationLinkId",
        ),
        ("1win", String::new(), "BAD_INPUT", "input.system"),
        ("Chatterfy", ", direction: INBOUND".into(), "BAD_INPUT", "input.direction"),
        (
            "Chatterfy",
            format!(r#", integrationAdvertiserId: "{advertiser}""#),
            "BAD_INPUT",
            "input.integrationAdvertiserId",
        ),
    ] {
        let answer = ask(system, &rest).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["field"]), (&json!(code), &json!(field)), "{answer}");
    }
    assert_eq!(world.count(everything).await, 0);

    let link = format!(r#", registrationLinkId: "{others_link}", baseUrl: "https://go.example""#);
    let made = ask("Keitaro", &link).await["data"]["setUpPreset"].clone();
    assert_eq!(made["registrationLink"], format!("https://go.example/click/{others_link}?clickid={{subid}}"));
    // Of a system of two halves, the one that is told.
    let made = ask("Chatterfy", &format!(r#", partnerId: "{other}""#)).await["data"]["setUpPreset"].clone();
    assert_eq!((&made["integrationId"], &made["inboundUrls"]), (&Value::Null, &json!([])));
    let own = format!("SELECT count(*) FROM postbacks WHERE partner_id = '{other}'");
    assert_eq!((world.count(&own).await, world.count(everything).await), (5, 5));
}

/// An added value is read as any template is, and a fault of it is one of the values.
#[tokio::test]
async fn what_is_added_may_be_written_as_another_system_does() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let set_up = |value: &str| {
        format!(
            r#"mutation {{ setUpPreset(input: {{ system: "Keitaro", partnerId: "{}", dryRun: true, values: [
                 {{ name: "domain", value: "t.example" }}, {{ name: "key", value: "a1b2c3d" }},
                 {{ name: "cost", value: "{value}" }}] }}) {{ postbacks {{ name urlTemplate }} }} }}"#,
            world.partner
        )
    };
    let made = world.graphql(&server, &world.owner_token, &set_up("[sum]")).await;
    for postback in made["setUpPreset"]["postbacks"].as_array().unwrap() {
        let url = postback["urlTemplate"].as_str().unwrap();
        assert!(url.ends_with("&cost={payout}"), "{url}");
    }
    for (value, message) in [
        (
            "[offer_nme]",
            "in the postback Status: the macro {offer_nme} does not exist; did you mean {offer_name}?",
        ),
        ("{advertiser_name}", "in the postback Status: partners are not told what advertisers are called"),
    ] {
        let answer = ask(&world, &server, &set_up(value)).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["field"], "input.values", "{answer}");
        let told = error["message"].as_str().unwrap();
        assert!(told.contains(message), "{told}");
    }
}
