use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ricochet::domain::event::ActionKind;
use ricochet::domain::ids::{IntegrationId, LinkId};
use ricochet::domain::integration::Answers;
use ricochet::domain::money::Currency;
use ricochet::domain::payout::{PartnerPayout, PayoutModel};
use ricochet::graphql::scope::Scope;
use ricochet::presets;
use ricochet::store::integrations::{self, IntegrationSettings, SaveError, SecretRule};
use ricochet::store::network::{self, NewAction};
use rust_decimal::Decimal;
use serde_json::json;

use super::events_of;
use crate::support::server::Server;
use crate::support::world::World;

/// An offer with an action of each kind the presets speak of; `names` says which.
async fn offer(world: &World, kinds: &[(&'static str, ActionKind, bool)]) -> LinkId {
    let db = world.databases.pool.get().await.unwrap();
    let actions: Vec<NewAction> = kinds
        .iter()
        .map(|(name, kind, repeatable)| NewAction {
            name,
            kind: *kind,
            payout_model: PayoutModel::Fixed,
            advertiser_rate: Decimal::TEN,
            commission_percent: Decimal::ZERO,
            payout: PartnerPayout::Amount(Decimal::TEN),
            currency: Currency::parse("USD").unwrap(),
            repeatable: *repeatable,
        })
        .collect();
    let advertiser = world.advertiser().await;
    let offer = network::add_offer(&db, advertiser, "Foreign", "https://x.example/", &actions).await.unwrap();
    network::add_link(&db, offer, world.partner).await.unwrap()
}

/// What a system sends for one event, and what it comes to: events, status and price.
struct Sample {
    system: &'static str,
    event: &'static str,
    /// The system's macros, as they stand in its URL, with what it fills in.
    filled: &'static [(&'static str, &'static str)],
    request_id: &'static str,
    events: &'static str,
    price: Option<&'static str>,
}

const fn sample(
    system: &'static str,
    event: &'static str,
    filled: &'static [(&'static str, &'static str)],
    request_id: &'static str,
    events: &'static str,
    price: Option<&'static str>,
) -> Sample {
    Sample { system, event, filled, request_id, events, price }
}

/// `CLICK` stands for the click id.
#[rustfmt::skip]
const SAMPLES: &[Sample] = &[
    sample("HOQU", "All events", &[("{click_id}", "CLICK"), ("{request_id}", "h1"), ("{action}", "sale"), ("{price}", "5"), ("{status}", "pending"), ("{comment}", "ok")], "h1", "sale+hold", Some("5")),
    sample("Everflow", "All events", &[("{sub1}", "CLICK"), ("{transaction_id}", "ef"), ("{event_id}", "0"), ("{order_id}", "ORD-1"), ("{sale_amount}", "49.90"), ("{adv1}", "x")], "ORD-1", "sale+approve", Some("49.90")),
    sample("TUNE", "All events", &[("{aff_click_id}", "CLICK"), ("{transaction_id}", "102f"), ("{payout}", "1.5"), ("{currency}", "EUR"), ("{aff_sub}", "s")], "102f", "sale+approve", Some("1.5")),
    sample("Affise", "All events", &[("{sub1}", "CLICK"), ("{sum}", "7"), ("{status}", "2"), ("{goal}", "sale"), ("{transactionid}", "af"), ("{offerid}", "12"), ("{geo}", "DE")], "af_sale", "sale+hold", Some("7")),
    sample("Affise", "All events", &[("{sub1}", "CLICK"), ("{sum}", "7"), ("{status}", "1"), ("{goal}", "sale"), ("{transactionid}", "af2"), ("{offerid}", "12"), ("{geo}", "DE")], "af2_sale", "sale+approve", Some("7")),
    sample("Scaleo", "All events", &[("{aff_click_id}", "CLICK"), ("{conv_status}", "Approved"), ("{payout}", "3"), ("{currency}", "USD")], "auto:", "sale+approve", Some("3")),
    sample("Trackier", "All events", &[("{p1}", "CLICK"), ("{payout}", "2.25"), ("{txn_id}", "tr-9")], "tr-9", "sale+approve", Some("2.25")),
    sample("CAKE", "All events", &[("#s2#", "CLICK"), ("#s3#", ""), ("#tid#", "t"), ("#price#", "12.00"), ("#leadid#", "L77"), ("#affid#", "4"), ("#oid#", "8")], "L77", "sale+approve", Some("12.00")),
    sample("Impact", "All events", &[("{SubId1}", "CLICK"), ("{Payout}", "20"), ("{DeltaPayout}", "0"), ("{ActionId}", "1000.2"), ("{Status}", "REVERSED"), ("{OriginalCurrency}", "GBP")], "1000.2", "sale+reject", Some("20")),
    sample("1win", "Registration", &[("{sub1}", "CLICK"), ("{amount}", ""), ("{event_id}", "w1"), ("{user_id}", "501")], "w1", "registration+approve", None),
    sample("1win", "First Deposit", &[("{sub1}", "CLICK"), ("{amount}", "30"), ("{event_id}", "w2"), ("{user_id}", "501")], "w2", "ftd+approve", Some("30")),
    sample("1win", "Recurring Deposit", &[("{sub1}", "CLICK"), ("{amount}", "10"), ("{event_id}", "w3"), ("{user_id}", "501")], "w3", "redeposit+approve", Some("10")),
    sample("Mostbet CPA", "All events", &[("{sub1}", "CLICK"), ("{profit}", "1"), ("{status}", "active"), ("{id}", "m"), ("{fdp_usd}", ""), ("{dep_sum_usd}", "")], "m:registration", "registration+approve", None),
    sample("Mostbet CPA", "All events", &[("{sub1}", "CLICK"), ("{profit}", "9"), ("{status}", "fd_approved"), ("{id}", "m"), ("{fdp_usd}", "25"), ("{dep_sum_usd}", "25")], "m:fd", "ftd+approve", Some("25")),
    sample("Mostbet CPA", "All events", &[("{sub1}", "CLICK"), ("{profit}", "9"), ("{status}", "fd_rejected"), ("{id}", "m"), ("{fdp_usd}", "25"), ("{dep_sum_usd}", "25")], "m:fd", "ftd+approve, reject", Some("25")),
    sample("Pin-up", "First Deposit", &[("{subId1}", "CLICK"), ("{payment}", "15"), ("{currency}", "BRL")], "CLICK:first_deposit", "ftd+approve", Some("15")),
    sample("Melbet", "Registration", &[("{click_id}", "CLICK"), ("{amount}", "0")], "CLICK:registration", "registration+approve", Some("0")),
    sample("Mostbet CPA", "First Deposit", &[("{sub1}", "CLICK"), ("{profit}", "9"), ("{status}", "fdp"), ("{id}", "m2"), ("{fdp_usd}", "30"), ("{dep_sum_usd}", "30")], "m2:fd", "redeposit+approve", Some("30")),
    sample("Mostbet CPA", "Recurring Deposit", &[("{sub1}", "CLICK"), ("{profit}", "9"), ("{status}", "fdp"), ("{id}", "m"), ("{fdp_usd}", "25"), ("{dep_sum_usd}", "40")], "m:deposit:40:MINUTE", "redeposit+approve", Some("40")),
    sample("Mostbet CPA", "Recurring Deposit", &[("{sub1}", "CLICK"), ("{profit}", "9"), ("{status}", "rd_approved"), ("{id}", "m"), ("{fdp_usd}", "25"), ("{dep_sum_usd}", "41")], "m:deposit:41:MINUTE", "", None),
    sample("22BET", "Registration", &[("{sub_id}", "CLICK"), ("{status}", "reg")], "CLICK:reg", "registration+approve", None),
    sample("22BET", "Recurring Deposit", &[("{sub_id}", "CLICK"), ("{status}", "rd")], "CLICK:deposit::MINUTE", "", None),
    sample("22BET", "All events", &[("{sub_id}", "CLICK"), ("{status}", "ftd")], "CLICK:ftd", "ftd+approve", None),
    sample("22BET", "All events", &[("{sub_id}", "CLICK"), ("{status}", "bl")], "CLICK:bl", "", None),
    sample("4rabet", "All events", &[("{sub_id2}", "CLICK"), ("{revenue}", "4"), ("{goal}", "dep"), ("{id}", "r1")], "r1", "ftd+approve", Some("4")),
    sample("Affilka-style", "Registration", &[("${visit_id}", "CLICK"), ("${ctag}", "c"), ("${amount}", ""), ("${deposit_id}", ""), ("${player_id}", "p5")], "p5:registration", "registration+approve", None),
    sample("Affilka-style", "First Deposit", &[("${visit_id}", "CLICK"), ("${ctag}", "c"), ("${amount}", "50"), ("${deposit_id}", "d1"), ("${player_id}", "p5")], "d1", "ftd+approve", Some("50")),
    sample("WelcomePartners-style", "lead", &[("##CLICK_ID##", "CLICK"), ("##POSTBACK_ID##", "wp1"), ("##CPA_AMOUNT##", "11"), ("##RS_AMOUNT##", "")], "wp1", "lead+hold", Some("11")),
    sample("WelcomePartners-style", "approve", &[("##CLICK_ID##", "CLICK"), ("##POSTBACK_ID##", "wp1"), ("##CPA_AMOUNT##", "11"), ("##RS_AMOUNT##", "")], "wp1", "lead+hold, approve", Some("11")),
    sample("Chatterfy", "Registration", &[("{clickid}", "CLICK")], "CLICK:registration:", "registration+approve", None),
    sample("Chatterfy", "First Deposit", &[("{clickid}", "CLICK"), ("{amount}", "20"), ("{currency}", "EUR"), ("{transaction_id}", "c1")], "c1", "ftd+approve", Some("20")),
    sample("Chatterfy", "Recurring Deposit", &[("{clickid}", "CLICK"), ("{amount}", "5"), ("{currency}", "EUR"), ("{transaction_id}", "c2")], "c2", "redeposit+approve", Some("5")),
    sample("Carpe Diem", "Free registration", &[("{clickid}", "CLICK"), ("{transid}", "d1")], "CLICK:d1:registration", "registration+approve", None),
    sample("Carpe Diem", "Rebill", &[("{clickid}", "CLICK"), ("{transid}", "d2"), ("{amount}", "8")], "CLICK:d2:rebill", "rebill+approve", Some("8")),
    sample("WelcomePartners-style", "rebill", &[("##CLICK_ID##", "CLICK"), ("##POSTBACK_ID##", "wp2"), ("##CPA_AMOUNT##", ""), ("##RS_AMOUNT##", "6")], "wp2", "rebill+approve", Some("6")),
];

#[tokio::test]
async fn every_preset_understands_what_its_system_sends() {
    let world = World::new().await;
    let advertiser = world.advertiser().await;
    let shop = offer(&world, &[("sale", ActionKind::Sale, false)]).await;
    let casino = offer(
        &world,
        &[
            ("signup", ActionKind::Registration, false),
            ("deposit", ActionKind::Deposit, true),
            ("lead", ActionKind::Lead, false),
            ("rebill", ActionKind::Rebill, true),
        ],
    )
    .await;
    let mut made: BTreeMap<&str, IntegrationId> = BTreeMap::new();
    let db = world.databases.pool.get().await.unwrap();
    for preset in presets::inbound() {
        let id = integrations::create_from_preset(&db, Scope::Everything, advertiser, preset, None).await;
        made.insert(&preset.system, id.unwrap());
    }
    let server = Server::start(&world.databases).await;
    let shops = ["HOQU", "Everflow", "TUNE", "Affise", "Scaleo", "Trackier", "CAKE", "Impact"];
    let mut clicks: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for sample in SAMPLES {
        let is_shop = shops.contains(&sample.system);
        // A shop's conversion is once per click; a player's events follow each other on one.
        let key = if is_shop { (sample.system, sample.request_id) } else { (sample.system, "") };
        if let Entry::Vacant(place) = clicks.entry(key) {
            let link = if is_shop { shop } else { casino };
            place.insert(world.click(&server, link).await);
        }
        let click = &clicks[&key];
        let preset = presets::inbound_of(sample.system).unwrap();
        let addresses = preset.addresses(&server.url(""), &made[sample.system].to_string());
        let mut url = addresses.into_iter().find(|(event, _)| event == sample.event).unwrap().1;
        for (name, value) in sample.filled {
            assert!(url.contains(name), "{}: {name}", sample.system);
            url = url.replace(name, &value.replace("CLICK", click));
        }
        let answer = world.client.get(&url).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        let what = format!("{} {}: {status} {body}", sample.system, sample.event);
        if sample.events.is_empty() {
            assert_eq!(status, 202, "{what}");
            continue;
        }
        assert_eq!(status, 200, "{what}");
        let expected = preset.success_body.clone().unwrap_or_else(|| "\"status\":\"success\"".into());
        assert!(body.contains(&expected) && !body.contains("\"duplicate\":true"), "{what}");
        let mut request_id = sample.request_id.replace("CLICK", click);
        if let Some(told_apart) = request_id.strip_suffix("MINUTE") {
            let query = format!("SELECT request_id FROM conversions WHERE request_id LIKE '{told_apart}%Z'");
            request_id = world.texts(&query).await.pop().unwrap();
        }
        if request_id == "auto:" {
            let query = format!("SELECT request_id FROM conversions WHERE click_id = '{click}'");
            request_id = world.texts(&query).await.pop().unwrap();
        }
        assert_eq!(events_of(&world, &request_id).await.join(", "), sample.events, "{what}");
        let price = format!(
            "SELECT amount::text FROM conversions WHERE request_id = '{request_id}' AND amount IS NOT NULL"
        );
        assert_eq!(world.texts(&price).await.pop().as_deref(), sample.price, "{what}");
    }
    let tested: Vec<&str> = SAMPLES.iter().map(|sample| sample.system).collect();
    assert!(presets::inbound().iter().all(|preset| tested.contains(&preset.system.as_str())));
}

/// Programs that give a deposit neither an id nor a time: two of the same sum are two, and what comes
/// again within the minute, as a sender repeats what it got no answer to, is a repeat.
#[tokio::test]
async fn two_equal_deposits_are_two_and_a_repeat_is_a_repeat() {
    let world = World::new().await;
    let advertiser = world.advertiser().await;
    let kinds = [("signup", ActionKind::Registration, false), ("deposit", ActionKind::Deposit, true)];
    let link = offer(&world, &kinds).await;
    let db = world.databases.pool.get().await.unwrap();
    let mut made: BTreeMap<&str, IntegrationId> = BTreeMap::new();
    for preset in presets::inbound() {
        let id = integrations::create_from_preset(&db, Scope::Everything, advertiser, preset, None).await;
        made.insert(&preset.system, id.unwrap());
    }
    let server = Server::start(&world.databases).await;
    for (system, deposit) in [
        ("Melbet", "?click_id=CLICK&amount=10&event="),
        ("Pin-up", "?subId1=CLICK&payment=10&currency=USD&event="),
        ("Mostbet CPA", "?sub1=CLICK&id=CLICK&status=fdp&fdp_usd=10&dep_sum_usd=10&event="),
        ("Affilka-style", "?visit_id=CLICK&player_id=CLICK&amount=10&event="),
        ("Chatterfy", "?clickid=CLICK&tracker.cost=10&tracker.currency=USD&tracker.event="),
    ] {
        let preset = presets::inbound_of(system).unwrap();
        let address = preset.addresses(&server.url(""), &made[system].to_string())[0].1.clone();
        let (door, _) = address.split_once('?').unwrap();
        let click = world.click(&server, link).await;
        let (first, again) =
            if system == "Chatterfy" { ("sale", "resale") } else { ("first_deposit", "deposit") };
        let send = async |event: &str, more: &str| {
            let url = format!("{door}{}{event}{more}", deposit.replace("CLICK", &click));
            let answer = world.client.get(&url).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{url}");
            answer.json::<serde_json::Value>().await.unwrap()["duplicate"] == true
        };
        assert!(!send(first, "").await, "{system}");
        assert!(send(first, "").await, "{system}");
        // The clock may pass the minute between two requests, but hardly twice.
        send(again, "").await;
        let repeats = [send(again, "").await, send(again, "").await];
        assert!(repeats.contains(&true), "{system}: {repeats:?}");
        // As if those had come a minute earlier than they did.
        let earlier = format!(
            "UPDATE conversions SET lead_id = gen_random_uuid(), request_id = request_id || '-earlier'
             WHERE click_id = '{click}' AND request_id LIKE '%Z'"
        );
        world.execute(&earlier).await;
        let paid = format!("SELECT count(*) FROM conversions WHERE click_id = '{click}' AND payout = 10");
        let before = world.count(&paid).await;
        assert!(!send(again, "").await, "{system}");
        assert_eq!(world.count(&paid).await, before + 1, "{system}");
        // With an id there is no need of the clock.
        let id = if system == "Chatterfy" { "tracker.tid" } else { "txid" };
        if system == "Affilka-style" {
            continue;
        }
        assert!(!send(again, &format!("&{id}=1-{click}")).await, "{system}");
        assert!(!send(again, &format!("&{id}=2-{click}")).await, "{system}");
        assert!(send(again, &format!("&{id}=1-{click}")).await, "{system}");
    }
}

fn settings(map: &[(&str, &str)]) -> IntegrationSettings {
    IntegrationSettings {
        name: "Ours".into(),
        field_map: map
            .iter()
            .map(|(field, template)| (field.to_string(), vec![template.to_string()]))
            .collect(),
        is_active: true,
        ..IntegrationSettings::default()
    }
}

#[tokio::test]
async fn chatterfys_events_come_in_by_query_and_by_nested_json() {
    let world = World::new().await;
    let advertiser = world.advertiser().await;
    let kinds = [("signup", ActionKind::Registration, false), ("deposit", ActionKind::Deposit, true)];
    let link = offer(&world, &kinds).await;
    let db = world.databases.pool.get().await.unwrap();
    let id = integrations::create(&db, Scope::Everything, advertiser, &settings(&[])).await.unwrap();
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, link).await;
    let url = server.url(&format!("/api/postbacks/{id}/tracker-postback"));
    for query in [
        format!("tracker.event=registration&clickid={click}&fields.userid=77"),
        format!("tracker.event=sale&clickid={click}&tracker.cost=20&tracker.currency=EUR"),
    ] {
        let answer = world.client.get(format!("{url}?{query}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    let body = json!({
        "clickid": click, "tracker": { "event": "resale", "cost": 5.50, "currency": "EUR", "tid": "t-2" },
    });
    let answer = world.client.post(&url).json(&body).send().await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["status"], "success");
    assert_eq!(events_of(&world, &format!("{click}:registration:")).await, ["registration+approve"]);
    assert_eq!(events_of(&world, &format!("{click}:sale:20")).await, ["ftd+approve"]);
    assert_eq!(events_of(&world, "t-2").await, ["redeposit+approve"]);
    let kept = "SELECT fields->>'userid' FROM conversions WHERE action = 'signup'";
    assert_eq!(world.texts(kept).await, ["77"]);
    assert_eq!(world.logged(&format!("door = 'chatterfy' AND integration_id = '{id}'")).await, 3);
}

#[tokio::test]
async fn an_integration_admits_maps_and_answers_as_it_is_set() {
    let world = World::new().await;
    let advertiser = world.advertiser().await;
    let db = world.databases.pool.get().await.unwrap();
    let everything = Scope::Everything;
    let mut wanted = settings(&[
        ("click_id", "{data.click}"),
        ("request_id", "{data.items.0.id}"),
        ("action", "sale"),
        ("status", "{goal}_{data.state}"),
    ]);
    wanted.answers = Answers {
        success_body: Some("OK".into()),
        refusal_code: Some(200),
        refusal_body: Some("NO".into()),
        ..Answers::default()
    };
    wanted.offer_id = Some(world.fixed.0);
    let id = integrations::create(&db, everything, advertiser, &wanted).await.unwrap();
    let place = ricochet::domain::status_words::Place::Integration(id);
    let approved = ricochet::domain::status::Meaning::Approved;
    ricochet::store::status_words::set(&db, everything, place, "ftd_1", approved).await.unwrap();
    let secret = integrations::set_secret(&db, everything, id, SecretRule::Required).await.unwrap().unwrap();
    let mut elsewhere = settings(&[]);
    elsewhere.allowed_networks = vec!["192.0.2.0/24".into()];
    let elsewhere = integrations::create(&db, everything, advertiser, &elsewhere).await.unwrap();
    let mut off = settings(&[]);
    off.is_active = false;
    let off = integrations::create(&db, everything, advertiser, &off).await.unwrap();

    let mut wrong = settings(&[("clik", "{a}")]);
    let refused = integrations::update(&db, everything, id, &wrong).await.unwrap_err();
    assert!(matches!(refused, SaveError::Map(_)), "{refused}");
    wrong = settings(&[]);
    wrong.allowed_networks = vec!["localhost".into()];
    assert!(matches!(integrations::update(&db, everything, id, &wrong).await, Err(SaveError::Network(_))));
    let partner = Scope::Partner(world.partner);
    assert!(matches!(integrations::update(&db, partner, id, &wanted).await, Err(SaveError::NotFound)));
    assert_eq!(world.count("SELECT count(*) FROM integrations").await, 3);

    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let other = world.click(&server, world.percent.1).await;
    let post = |id: IntegrationId, click: &str, secret: &str| {
        let body = json!({ "data": { "click": click, "state": 1, "items": [{ "id": "r" }] } });
        let url = server.url(&format!("/in/{id}?goal=ftd&secret={secret}"));
        let sending = world.client.post(url).json(&body).send();
        async move {
            let answer = sending.await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    assert_eq!(post(id, &click, &secret).await, (200, "OK".into()));
    assert_eq!(events_of(&world, "r").await, ["sale+approve"]);
    assert_eq!(post(id, &click, "guess").await, (200, "NO".into()));
    assert_eq!(post(id, &other, &secret).await, (200, "NO".into()));
    assert_eq!(post(elsewhere, &click, "").await.0, 403);
    assert_eq!(post(off, &click, "").await.0, 403);
    assert_eq!(post(IntegrationId(uuid::Uuid::new_v4()), &click, "").await.0, 404);
    let reasons = [
        "reason_code = 'wrong_secret' AND http_status = 200 AND answer = 'NO'",
        "reason_code = 'other_offer'",
        "reason_code = 'ip_not_allowed'",
        "reason_code = 'integration_off'",
        "reason_code = 'unknown_integration'",
        "answer = 'OK' AND NOT position(parameters, 'ri_') > 0",
    ];
    for reason in reasons {
        assert_eq!(world.logged(reason).await, 1, "{reason}");
    }
}
