use chrono::Utc;
use ricochet::domain::event::Event;
use ricochet::domain::ids::LeadId;
use ricochet::domain::status::Status;
use ricochet::store::audit::Actor;
use ricochet::store::by_hand::{self, ByHand, ForceError, Forced};
use ricochet::store::settlement::{self, SettleFilter, Settlement};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{events_of, reported, status_of};
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const OWNER: ByHand = ByHand { actor: Actor::CommandLine, note: "agreed by telephone" };

#[tokio::test]
async fn the_owner_gives_a_conversion_any_status() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Hold, Event::Approve, Event::Reject]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r&action=sale&status=rejected&sub1=from-us");
    let lead: LeadId = reported(&world, &server, &report).await["lead_id"].as_str().unwrap().parse().unwrap();
    let pool = &world.databases.pool;
    let force = |status| by_hand::force_status(pool, lead, status, OWNER, Utc::now());
    assert_eq!(force(Status::Approved).await.unwrap(), Forced::Changed { from: Status::Rejected });
    assert_eq!(force(Status::Approved).await.unwrap(), Forced::Unchanged);
    assert_eq!(force(Status::Hold).await.unwrap(), Forced::Changed { from: Status::Approved });
    let unknown = by_hand::force_status(pool, LeadId(Uuid::nil()), Status::Hold, OWNER, Utc::now()).await;
    assert!(matches!(unknown, Err(ForceError::NotFound)));

    assert_eq!(status_of(&world, "r").await, "hold");
    assert_eq!(events_of(&world, "r").await, ["sale+reject", "approve", "hold"]);
    let audit = "SELECT actor || ': ' || note FROM conversion_history WHERE cause = 'owner' LIMIT 1";
    assert_eq!(world.texts(audit).await, ["command_line: agreed by telephone"]);
    world.attempts(&server, 3).await;
    let mut told: Vec<_> = tracker.received().iter().map(|one| one.parameter("status").unwrap()).collect();
    told.sort();
    assert_eq!(told, ["approved", "hold", "rejected"]);
    assert!(tracker.received().iter().all(|one| one.parameter("payout").unwrap() == "10.00"));
    // The pipeline goes on from where the owner left it.
    let again = reported(&world, &server, &report.replace("rejected", "approved")).await;
    assert_eq!((&again["duplicate"], &again["rejected_by_conflict"]), (&false.into(), &false.into()));
    // What no rule and no owner allows, the database refuses.
    let impossible = "INSERT INTO conversion_history (change_id, lead_id, status_from, status_to, events, facts)
                      SELECT change_id, lead_id, 'rejected', 'hold', events, facts FROM conversion_history LIMIT 1";
    let db = pool.get().await.unwrap();
    assert!(format!("{:?}", db.batch_execute(impossible).await.unwrap_err()).contains("possible_transition"));
}

#[tokio::test]
async fn conversions_are_settled_once_when_approved_and_held_long_enough() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Payout]).await;
    world.execute("UPDATE actions SET hold_days = 30 WHERE name = 'deposit'").await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    for (request_id, rest) in
        [("a", "approved"), ("b", "approved"), ("c", "hold"), ("d", "rejected"), ("e", "approved&test=1")]
    {
        let report = format!("click_id={click}&request_id={request_id}&action=sale&status={rest}");
        reported(&world, &server, &report).await;
    }
    let held = world.click(&server, world.percent.1).await;
    let report = format!("click_id={held}&request_id=f&action=deposit&status=approved&price=99.99");
    reported(&world, &server, &report).await;

    let pool = &world.databases.pool;
    let everything = SettleFilter::default();
    let of_one = SettleFilter { partner_ids: vec![Uuid::from_u128(1)], ..SettleFilter::default() };
    let now = Utc::now();
    assert_eq!(settlement::settle(pool, &of_one, OWNER, now).await.unwrap(), Settlement::default());
    let expected = Settlement { conversions: 2, payouts: [("USD", Decimal::from(20))].into() };
    assert_eq!(settlement::preview(pool, &everything, now).await.unwrap(), expected);
    // Two owners press the button at once.
    let (one, other) = tokio::join!(
        settlement::settle(pool, &everything, OWNER, now),
        settlement::settle(pool, &everything, OWNER, now),
    );
    assert_eq!(one.unwrap().conversions + other.unwrap().conversions, 2);
    assert_eq!(settlement::settle(pool, &everything, OWNER, now).await.unwrap(), Settlement::default());
    let passed = "UPDATE conversions SET created_at = created_at - interval '30 days' WHERE request_id = 'f'";
    world.execute(passed).await;
    let held = settlement::settle(pool, &everything, OWNER, Utc::now()).await.unwrap();
    assert_eq!(held, Settlement { conversions: 1, payouts: [("USD", Decimal::new(2500, 2))].into() });

    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE settled_at IS NOT NULL").await, 3);
    assert_eq!(events_of(&world, "a").await, ["sale+approve", "payout"]);
    tracker.until_received(3).await;
    world.until_settled().await;
    assert_eq!(tracker.received().len(), 3);
}
