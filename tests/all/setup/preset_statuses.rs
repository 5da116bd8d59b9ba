//! What trackers are told by their presets while conversions change their status: nobody books
//! what is not paid, and what comes to be paid is booked, as what it is.

use ricochet::domain::event::ActionKind;
use ricochet::domain::ids::{AdvertiserId, LinkId};
use ricochet::domain::money::Currency;
use ricochet::domain::payout::{PartnerPayout, PayoutModel};
use ricochet::store::network::{self, NewAction};
use rust_decimal::Decimal;
use serde_json::json;

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// The partner's link to an offer with a repeatable action of each of these kinds.
async fn link(world: &World) -> LinkId {
    let db = world.databases.pool.get().await.unwrap();
    let kinds = [
        ("signup", ActionKind::Registration),
        ("deposit", ActionKind::Deposit),
        ("sale", ActionKind::Sale),
        ("rebill", ActionKind::Rebill),
    ];
    let actions = kinds.map(|(name, kind)| NewAction {
        name,
        kind,
        payout_model: PayoutModel::Fixed,
        advertiser_rate: Decimal::TEN,
        commission_percent: Decimal::ZERO,
        payout: PartnerPayout::Amount(Decimal::TEN),
        currency: Currency::parse("USD").unwrap(),
        repeatable: true,
    });
    let of_offer = "SELECT advertiser_id FROM offers WHERE offer_id = $1";
    let advertiser = AdvertiserId(db.query_one(of_offer, &[&world.fixed.0.0]).await.unwrap().get(0));
    let offer = network::add_offer(&db, advertiser, "Club", "https://x.example/", &actions).await.unwrap();
    network::add_link(&db, offer, world.partner).await.unwrap()
}

async fn set_up(world: &World, server: &Server, system: &str, values: &[(&str, &str)]) {
    let values: Vec<String> =
        values.iter().map(|(name, value)| format!(r#"{{ name: "{name}", value: "{value}" }}"#)).collect();
    let mutation = format!(
        r#"mutation {{ setUpPreset(input: {{ system: "{system}", direction: OUTBOUND, partnerId: "{}",
             clickParameter: "clickid", values: [{}] }}) {{ postbacks {{ postbackId }} }} }}"#,
        world.partner,
        values.join(", ")
    );
    world.graphql(server, &world.owner_token, &mutation).await;
}

/// What must not happen: an empty click id at the tracker.
#[tokio::test]
async fn a_click_without_the_trackers_click_id_is_skipped_and_says_so() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let link = link(&world).await;
    let set_up = format!(
        r#"mutation {{ setUpPreset(input: {{ system: "Chatterfy", direction: OUTBOUND, partnerId: "{}",
             values: [{{ name: "domain", value: "{}" }},
                      {{ name: "uuid", value: "0198d5f0-0000-7000-8000-000000000000" }}] }})
             {{ postbacks {{ name method requiredMacros successRules {{ text }} }} }} }}"#,
        world.partner, tracker.url
    );
    let made = world.graphql(&server, &world.owner_token, &set_up).await["setUpPreset"].clone();
    assert_eq!(
        made["postbacks"][1],
        json!({ "name": "First Deposit", "method": "GET", "requiredMacros": ["sub4"], "successRules": [] })
    );
    for (click, parameter) in [("with", "sub4=chat-1&"), ("without", "")] {
        let url = server.url(&format!("/click/{link}?{parameter}clickid={click}"));
        assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);
        let report = format!("click_id={click}&request_id={click}&action=deposit&status=approved");
        assert_eq!(world.report(&server, &report).await.0, 200);
    }
    world.until_settled().await;
    let heard: Vec<_> = tracker.received().iter().map(|one| one.parameter("clickid")).collect();
    assert_eq!(heard, [Some("chat-1".to_owned())]);
    let reason = "SELECT count(*) FROM deliveries_finished WHERE state = 'skipped' AND reason LIKE '%sub4%'";
    assert_eq!(world.count(reason).await, 1);
}

#[tokio::test]
async fn trackers_hear_of_sums_that_are_due_and_of_those_that_are_no_more() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let link = link(&world).await;
    let domain = ("domain", tracker.url.as_str());
    set_up(&world, &server, "Keitaro", &[domain, ("key", "keitaro")]).await;
    set_up(&world, &server, "Chatterfy", &[domain, ("uuid", "0198d5f0-0000-7000-8000-000000000000")]).await;
    set_up(
        &world,
        &server,
        "Carpe Diem",
        &[("url", tracker.url.as_str()), ("path", "/carpe"), ("account", "66013")],
    )
    .await;
    set_up(&world, &server, "Binom v1", &[domain]).await;

    // Each on a click of its own, and the deposits of one player on one.
    let report = async |click: &str, request: &str, action: &str, statuses: &[&str]| {
        for status in statuses {
            let parameters = format!("click_id={click}&request_id={request}&action={action}&status={status}");
            let (code, answer) = world.report(&server, &parameters).await;
            assert_eq!(code, 200, "{answer}");
        }
    };
    let visit = async |name: &str| {
        let tracker = format!("trID_66013%23-%23%23-%23{name}%23-%23_trID");
        let url = server.url(&format!("/click/{link}?clickid={name}&tracker={tracker}"));
        assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);
    };
    let ways: [(&str, &[&str]); 6] = [
        ("a", &["approved"]),
        ("h", &["hold"]),
        ("r", &["rejected"]),
        ("ha", &["hold", "approved"]),
        ("hr", &["hold", "rejected"]),
        ("ar", &["approved", "rejected"]),
    ];
    for action in ["signup", "deposit", "sale", "rebill"] {
        for (way, statuses) in ways {
            let click = format!("{action}-{way}");
            visit(&click).await;
            report(&click, &format!("{action}-{way}-1"), action, statuses).await;
        }
    }
    // The second deposit is approved before the first: which one is the first stays known.
    visit("player").await;
    report("player", "player-1", "deposit", &["hold"]).await;
    report("player", "player-2", "deposit", &["approved"]).await;
    report("player", "player-1", "deposit", &["approved"]).await;

    world.until_settled().await;
    let mut received: Vec<String> = tracker
        .received()
        .iter()
        .map(|one| {
            let of = |name| one.parameter(name).unwrap_or_default();
            match one.url.path() {
                "/keitaro/postback" => {
                    format!("keitaro {} {} {} {}", of("subid"), of("status"), of("payout"), of("tid"))
                }
                "/carpe" => format!("carpe {} {} {}", of("clickid"), of("event"), of("payout")),
                "/click.php" => format!("binom {} {} {}", of("cnv_id"), of("cnv_status"), of("payout")),
                _ => format!(
                    "chatterfy {} {} {} {}",
                    of("clickid"),
                    of("tracker.event"),
                    of("tracker.cost"),
                    of("tracker.tid")
                ),
            }
        })
        .collect();
    received.sort();

    // Worked out by hand from what the systems document.
    let mut expected: Vec<String> = Vec::new();
    let mut expect = |line: String| expected.push(line);
    for action in ["signup", "deposit", "sale", "rebill"] {
        for (way, statuses) in ways {
            let click = format!("{action}-{way}");
            for status in statuses {
                let is_rebill = action == "rebill";
                let word = match *status {
                    "hold" if is_rebill => None,
                    "hold" => Some("lead"),
                    "approved" if is_rebill => Some("rebill"),
                    "approved" => Some("sale"),
                    _ => Some("rejected"),
                };
                let tid = if is_rebill { format!("{click}-1-rebill") } else { format!("{click}-1") };
                if let Some(word) = word {
                    expect(format!("keitaro {click} {word} 10.00 {tid}"));
                }
                let sum = if *status == "rejected" { "0" } else { "10.00" };
                expect(format!("binom {click} {status} {sum}"));
                if *status != "approved" {
                    continue;
                }
                match action {
                    "signup" => {
                        expect(format!("chatterfy {click} registration  "));
                        expect(format!("carpe {click} registration "));
                    }
                    "deposit" => expect(format!("chatterfy {click} sale 10.00 ")),
                    other => expect(format!("carpe {click} {other} 10.00")),
                }
            }
        }
    }
    for line in [
        "keitaro player lead 10.00 player-1",
        "keitaro player sale 10.00 player-2",
        "keitaro player sale 10.00 player-1",
        "binom player hold 10.00",
        "binom player approved 10.00",
        "binom player approved 10.00",
        "chatterfy player resale 10.00 player-2",
        "chatterfy player sale 10.00 ",
    ] {
        expect(line.into());
    }
    expected.sort();
    assert_eq!(received, expected);
}
