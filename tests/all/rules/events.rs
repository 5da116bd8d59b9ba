use futures_util::future::join_all;
use ricochet::domain::event::Event;
use serde_json::json;

use super::{events_of, reported, status_of};
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

fn deposit(click: &str, request_id: &str, rest: &str) -> String {
    format!("click_id={click}&request_id={request_id}&action=deposit&price=10&status={rest}")
}

#[tokio::test]
async fn deposits_of_one_instant_on_two_nodes_have_one_first() {
    let world = World::new().await;
    let nodes = [Server::start(&world.databases).await, Server::start(&world.databases).await];
    for round in 0..15 {
        // By the click, and by the customer where two clicks take two lanes.
        let clicks =
            [world.click(&nodes[0], world.percent.1).await, world.click(&nodes[1], world.percent.1).await];
        let reports: Vec<String> = (0..4)
            .map(|number| {
                let rest = format!("approved&customer_id=c-{round}");
                deposit(&clicks[number % 2], &format!("{round}-{number}"), &rest)
            })
            .collect();
        join_all(reports.iter().enumerate().map(|(index, report)| {
            let (world, node) = (&world, &nodes[(index / 2) % 2]);
            async move { reported(world, node, report).await }
        }))
        .await;
        let firsts = format!(
            "SELECT count(*) FROM conversion_history JOIN conversions USING (lead_id)
             WHERE request_id LIKE '{round}-%' AND 'ftd' = ANY(events)"
        );
        assert_eq!(world.count(&firsts).await, 1, "round {round}");
    }
}

#[tokio::test]
async fn the_first_deposit_is_the_first_recorded_whatever_becomes_of_it() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.percent.1).await;
    // A test takes nobody's place, nor does it make the real request of its id a duplicate.
    let test = reported(&world, &server, &deposit(&click, "a", "approved&test=1")).await;
    let real =
        reported(&world, &server, &deposit(&click, "a", "rejected&datetime=2026-02-02T00:00:00Z")).await;
    assert_ne!(test["lead_id"], real["lead_id"]);
    assert_eq!(real["duplicate"], false);
    let firsts = events_of(&world, "a").await;
    assert_eq!(firsts, ["ftd+approve", "ftd+reject"]);
    // Reported later though it happened earlier, and the first was rejected: still a later one.
    reported(&world, &server, &deposit(&click, "b", "approved&datetime=2026-01-01T00:00:00Z")).await;
    assert_eq!(events_of(&world, "b").await, ["redeposit+approve"]);
    let tests = "SELECT count(*) FROM conversions WHERE is_test";
    assert_eq!(world.count(tests).await, 1);
}

#[tokio::test]
async fn tests_keep_clear_of_once_per_click_and_of_customers() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let lead =
        |id: &str, rest: &str| format!("click_id={click}&request_id={id}&action=lead&status=new{rest}");
    reported(&world, &server, &lead("t", "&test=1")).await;
    assert_eq!(reported(&world, &server, &lead("r", "")).await["rejected_by_conflict"], false);
    assert_eq!(reported(&world, &server, &lead("u", "&test=1")).await["rejected_by_conflict"], true);

    let click = world.click(&server, world.recurring.1).await;
    reported(&world, &server, &format!("click_id={click}&customer_id=7&status=activate&test=1")).await;
    let lead = format!("click_id={click}&customer_id=7&request_id=s&action=subscription&status=approved");
    let (status, refused) = world.report(&server, &lead).await;
    assert_eq!((status, &refused["errors"][0]["code"]), (422, &json!("inactive_customer")));
    assert_eq!(reported(&world, &server, &format!("{lead}&test=1")).await["status"], "success");
}

#[tokio::test]
async fn new_conversions_past_the_attribution_window_are_refused() {
    let world = World::new().await;
    world.execute("UPDATE advertisers SET attribution_window_hours = 24").await;
    let server = Server::start(&world.databases).await;
    let in_hours = |hours| {
        (chrono::Utc::now() + chrono::TimeDelta::hours(hours)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let click = world.click(&server, world.fixed.1).await;
    let report = |id: &str, status: &str, hours| {
        format!("click_id={click}&request_id={id}&action=sale&status={status}&datetime={}", in_hours(hours))
    };
    reported(&world, &server, &report("a", "hold", 23)).await;
    let (status, late) = world.report(&server, &report("b", "hold", 25)).await;
    assert_eq!((status, &late["errors"][0]["code"]), (422, &json!("outside_attribution_window")));
    assert!(late["errors"][0]["message"].as_str().unwrap().contains("24 hours"));
    // What came in time may be decided on later, and customers renew for years.
    reported(&world, &server, &report("a", "approved", 200)).await;
    assert_eq!(status_of(&world, "a").await, "approved");

    let click = world.click(&server, world.recurring.1).await;
    let late_customer = format!("click_id={click}&customer_id=8&status=activate&datetime={}", in_hours(25));
    assert_eq!(world.report(&server, &late_customer).await.0, 422);
    reported(&world, &server, &format!("click_id={click}&customer_id=7&status=activate")).await;
    let renewal = format!(
        "click_id={click}&customer_id=7&request_id=s&action=subscription&status=approved&datetime={}",
        in_hours(9_000)
    );
    reported(&world, &server, &renewal).await;
}

#[tokio::test]
async fn prices_change_with_the_status_and_payouts_are_exact() {
    let world = World::new().await;
    world
        .execute(
            "UPDATE actions SET payout_amount = NULL, payout_percent = 12.5 WHERE name = 'subscription';
             UPDATE offers SET allows_refunds = false",
        )
        .await;
    let server = Server::start(&world.databases).await;
    let money = |id: &'static str| {
        let query = format!(
            "SELECT concat_ws(' ', amount, currency, payout, payout_currency) FROM conversions
             WHERE request_id = '{id}'"
        );
        let world = &world;
        async move { world.texts(&query).await.pop().unwrap() }
    };
    let click = world.click(&server, world.percent.1).await;
    let report = |rest: &str| format!("click_id={click}&request_id=p&action=deposit&{rest}");
    reported(&world, &server, &report("status=hold&price=10.00&currency=EUR")).await;
    // A share is paid in the currency of the price, whatever the action's own.
    assert_eq!(money("p").await, "10.00 EUR 2.50 EUR");
    let changed = reported(&world, &server, &report("status=hold&price=20")).await;
    assert_eq!(changed["conflict"]["code"], "price_changed");
    reported(&world, &server, &report("status=approved&price=33.33&currency=EUR")).await;
    assert_eq!(money("p").await, "33.33 EUR 8.33 EUR");
    let history = "SELECT facts->>'amount' FROM conversion_history ORDER BY change_id";
    assert_eq!(world.texts(history).await, ["10.00", "33.33"]);
    // This offer takes no refunds.
    assert_eq!(
        reported(&world, &server, &report("status=refund&price=33.33")).await["rejected_by_conflict"],
        true
    );

    let click = world.click(&server, world.fixed.1).await;
    let sale = format!("click_id={click}&request_id=f&action=sale&status=paid&price=7&currency=JPY");
    reported(&world, &server, &sale).await;
    assert_eq!(money("f").await, "7 JPY 10.00 USD");

    let click = world.click(&server, world.recurring.1).await;
    reported(&world, &server, &format!("click_id={click}&customer_id=7&status=activate")).await;
    let lead = format!("click_id={click}&customer_id=7&request_id=s&action=subscription&status=approved");
    assert_eq!(world.report(&server, &lead).await.0, 422);
    reported(&world, &server, &format!("{lead}&price=0.20")).await;
    assert_eq!(money("s").await, "0.20 USD 0.03 USD");
}

#[tokio::test]
async fn clicks_are_told_to_those_who_subscribed() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    world.click(&server, world.fixed.1).await;
    world.until_settled().await;
    assert_eq!(world.count("SELECT count(*) FROM conversion_history").await, 0);
    drop(server);

    world.postback(&tracker.url, &[Event::Click, Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let clicks = join_all((0..20).map(|number| {
        let url = server.url(&format!("/click/{}?clickid=own-{number}&zone=eu&format=json", world.fixed.1));
        async { world.client.get(url).send().await.unwrap().status() }
    }))
    .await;
    assert!(clicks.iter().all(|status| *status == 200));
    tracker.until_received(20).await;
    let attempts = world.attempts(&server, 20).await;
    assert_eq!((attempts.len(), &attempts[0]["event"]), (20, &json!("CLICK")));
    let mut told: Vec<_> = tracker.received().iter().map(|one| one.parameter("cid").unwrap()).collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 20);
    assert!(tracker.received().iter().all(|one| one.parameter("zone").as_deref() == Some("eu")));
}
