use chrono::Utc;
use ricochet::domain::event::Event;
use ricochet::domain::ids::InboundId;
use ricochet::domain::status::Meaning;
use ricochet::domain::status_words::Place;
use ricochet::graphql::paging::PageRequest;
use ricochet::graphql::scope::Scope;
use ricochet::store::audit::Actor;
use ricochet::store::quarantine::{self, Discarding, QuarantineFilter};
use ricochet::store::{reprocessing, status_words};

use super::{events_of, reported, status_of};
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const BY: Actor = Actor::CommandLine;
const PAGE: PageRequest = PageRequest { rows: 100, after: None, with_total: true };

async fn map_word(world: &World, word: &str, meaning: Meaning) {
    let place = Place::Advertiser(world.advertiser().await);
    let db = world.databases.pool.get().await.unwrap();
    status_words::set(&db, Scope::Everything, place, word, meaning).await.unwrap();
}

#[tokio::test]
async fn mapped_words_set_requests_free_in_the_order_of_their_times() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::FirstDeposit, Event::Redeposit]).await;
    let nodes = [Server::start(&world.databases).await, Server::start(&world.databases).await];
    let click = world.click(&nodes[0], world.percent.1).await;
    // They arrive in another order than they happened in.
    for (request_id, hour) in [("third", 3), ("first", 1), ("second", 2)] {
        let report = format!(
            "click_id={click}&request_id={request_id}&action=deposit&status=42&price=10\
             &datetime=2026-01-01T0{hour}:00:00Z"
        );
        assert_eq!(reported(&world, &nodes[0], &report).await["status"], "quarantined");
    }
    let db = world.databases.pool.get().await.unwrap();
    let words = quarantine::words(&db, Scope::Everything).await.unwrap();
    assert_eq!((words.len(), words[0].word.as_str(), words[0].requests), (1, "42", 3));
    map_word(&world, "42", Meaning::Approved).await;
    world.until("the quarantine is empty", "SELECT count(*) FROM quarantine", 0).await;

    assert_eq!(events_of(&world, "first").await, ["ftd+approve"]);
    for later in ["second", "third"] {
        assert_eq!(events_of(&world, later).await, ["redeposit+approve"]);
    }
    let times = world.texts("SELECT occurred_at::text FROM conversions ORDER BY occurred_at").await;
    assert_eq!(times[0], "2026-01-01 01:00:00+00");
    let causes = world.texts("SELECT DISTINCT cause FROM conversion_history").await;
    assert_eq!(causes, ["quarantine"]);
    assert_eq!(world.logged("door = 'quarantine' AND verdict = 'accepted'").await, 3);
    assert_eq!(world.logged("door = 's2s' AND verdict = 'quarantined'").await, 3);
    let released =
        "door = 'quarantine' AND origin_id IN (SELECT inbound_id FROM inbound_requests WHERE door = 's2s')";
    assert_eq!(world.logged(released).await, 3);
    tracker.until_received(3).await;
    assert_eq!(tracker.received().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_the_release_neither_loses_nor_repeats() {
    const TOTAL: i64 = 600;
    let world = World::new().await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let requests = (0..TOTAL).map(|number| {
        let report = format!("click_id={click}&request_id=q-{number}&action=sale&status=odd");
        let (world, server) = (&world, &server);
        async move { reported(world, server, &report).await }
    });
    futures_util::future::join_all(requests).await;
    assert_eq!(world.count("SELECT count(*) FROM quarantine").await, TOTAL);
    map_word(&world, "odd", Meaning::Hold).await;
    for part in [1, 2] {
        let query = format!("SELECT (count(*) >= {part})::int::bigint FROM conversions");
        world.until("a part is released", &query, 1).await;
        server.kill();
        server.restart().await;
    }
    world.until("the quarantine is empty", "SELECT count(*) FROM quarantine", 0).await;
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, TOTAL);
    assert_eq!(world.count("SELECT count(*) FROM conversion_history").await, TOTAL);
    assert_eq!(world.logged("door = 'quarantine'").await, TOTAL.unsigned_abs());
    assert_eq!(world.logged("door = 'quarantine' AND verdict != 'accepted'").await, 0);
}

#[tokio::test]
async fn one_request_is_released_and_another_discarded_by_hand() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    for request_id in ["keep", "drop"] {
        let report = format!("click_id={click}&request_id={request_id}&action=sale&status=Odd");
        reported(&world, &server, &report).await;
    }
    let pool = &world.databases.pool;
    let page = quarantine::list(pool, Scope::Everything, &QuarantineFilter::default(), &PAGE).await.unwrap();
    assert_eq!((page.total, page.rows.len()), (Some(2), 2));
    let id_of = |request_id: &str| -> InboundId {
        page.rows.iter().find(|item| item.request.request_id == request_id).unwrap().inbound_id
    };
    let partner = Scope::Partner(world.partner);
    let none = quarantine::list(pool, partner, &QuarantineFilter::default(), &PAGE).await.unwrap();
    assert_eq!(none.rows.len(), 0);

    let ids = [id_of("keep")];
    assert!(quarantine::release(pool, partner, &ids, Meaning::Approved, BY).await.is_err());
    assert_eq!(quarantine::release(pool, Scope::Everything, &ids, Meaning::Approved, BY).await.unwrap(), 1);
    let why = Discarding { actor: BY, reason: "a test of theirs" };
    let ids = [id_of("drop")];
    assert_eq!(quarantine::discard(pool, Scope::Everything, &ids, why, Utc::now()).await.unwrap(), 1);
    world.until("the quarantine is empty", "SELECT count(*) FROM quarantine", 0).await;
    assert_eq!(status_of(&world, "keep").await, "approved");
    assert_eq!(status_of(&world, "drop").await, "");
    let told = "reason_code = 'discarded' AND reason = 'discarded by command_line: a test of theirs'";
    assert_eq!(world.logged(told).await, 1);
}

#[tokio::test]
async fn a_request_of_the_log_is_processed_again_once_its_click_is_there() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let report = "clickid=late&request_id=r&action=sale&status=approved";
    assert_eq!(world.report(&server, report).await.0, 422);
    let id = InboundId(world.logged_id("reason_code = 'unknown_click'").await);
    let url = server.url(&format!("/click/{}?clickid=late", world.fixed.1));
    assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);

    let (log, pool) = (&world.databases.log, &world.databases.pool);
    let partner = Scope::Partner(world.partner);
    assert!(reprocessing::ask(log, pool, partner, &[id], BY).await.is_err());
    reprocessing::ask(log, pool, Scope::Everything, &[id], BY).await.unwrap();
    world.until("it is processed", "SELECT count(*) FROM conversions", 1).await;
    assert_eq!(status_of(&world, "r").await, "approved");
    world.until("nothing waits", "SELECT count(*) FROM reprocessing", 0).await;
    assert_eq!(world.logged("door = 'reprocess' AND verdict = 'accepted'").await, 1);
    // As of its own time, not of now.
    let own_time = format!(
        "SELECT count(*) FROM conversions
         WHERE abs(extract(epoch FROM occurred_at) * 1000
                   - ('x' || left(replace('{id}', '-', ''), 12))::bit(48)::bigint) < 100"
    );
    assert_eq!(world.count(&own_time).await, 1);

    reprocessing::ask(log, pool, Scope::Everything, &[id], BY).await.unwrap();
    world.until("nothing waits", "SELECT count(*) FROM reprocessing", 0).await;
    assert_eq!(world.logged("door = 'reprocess' AND verdict = 'duplicate'").await, 1);
    let again = InboundId(world.logged_id("door = 'reprocess' AND verdict = 'duplicate'").await);
    assert!(reprocessing::ask(log, pool, Scope::Everything, &[again], BY).await.is_err());
}
