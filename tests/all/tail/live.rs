//! What is new: on every node, once, in order, by filter and scope, and to slow readers.

use chrono::{DateTime, Utc};
use ricochet::domain::event::Event;
use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::domain::retry::{ErrorKind, Outcome};
use ricochet::domain::status::Status;
use ricochet::event_log::reader::{AttemptFilter, AttemptRecord, TestRows, attempts, is_match};
use ricochet::event_log::rows::{AttemptRow, Log, decode, encode};
use ricochet::graphql::paging::PageRequest;
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::{log_batches, tokens};

use super::record;
use super::socket::{Socket, each_once, txids, until_followed};
use crate::graphql::rows::{at, attempt, id, store_network};
use crate::graphql::stage::Stage;
use crate::support::databases::Databases;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

#[actix_web::test]
async fn every_node_shows_every_attempt_once_and_in_the_order_of_recording() {
    const CONVERSIONS: usize = 60;
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Approve]).await;
    let (one, other) = (Server::start(&world.databases).await, Server::start(&world.databases).await);
    let mut sockets = [
        Socket::of(&one, &world.owner_token).await,
        Socket::of(&other, &world.owner_token).await,
        Socket::of(&other, &world.owner_token).await,
    ];
    for socket in &mut sockets {
        socket.tail("1", "filter: {outcomes: [DELIVERED]}").await;
    }
    until_followed(&one, 1).await;
    until_followed(&other, 2).await;
    let click = world.click(&one, world.fixed.1).await;
    for number in 0..CONVERSIONS {
        let server = if number % 2 == 0 { &one } else { &other };
        let report = format!("click_id={click}&request_id=r{number}&action=sale&status=approved");
        assert_eq!(world.report(server, &report).await.0, 200);
    }
    let mut seen = Vec::new();
    for socket in &mut sockets {
        let mut attempts = Vec::new();
        while attempts.len() < CONVERSIONS {
            attempts.push(socket.attempt().await);
        }
        each_once(&attempts);
        assert!(attempts.iter().all(|attempt| attempt["droppedBefore"] == 0));
        seen.push(txids(&attempts));
    }
    assert_eq!(seen[1], seen[2], "followers of one node see the same");
    let mut sorted = seen.clone();
    sorted.iter_mut().for_each(|seen| seen.sort());
    assert_eq!(sorted[0], sorted[1], "and of all nodes the same attempts");
}

#[actix_web::test]
async fn an_attempt_is_seen_within_two_seconds() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let mut socket = Socket::of(&server, &world.owner_token).await;
    socket.tail("1", "").await;
    until_followed(&server, 1).await;
    let mut waits = Vec::new();
    for number in 0..9 {
        record(&world.databases.pool, [attempt(&format!("t{number}"), Utc::now())]).await;
        let seen = socket.attempt().await;
        let recorded_at: DateTime<Utc> = seen["recordedAt"].as_str().unwrap().parse().unwrap();
        waits.push(Utc::now() - recorded_at);
    }
    waits.sort();
    // The middle of several: this machine may stand still for once, which says nothing of the tail.
    assert!(waits[4] < chrono::TimeDelta::seconds(2), "{waits:?}");
}

#[actix_web::test]
async fn a_filter_means_the_same_here_as_in_the_log() {
    let stage = Stage::set().await;
    let rows = rows_of_all_kinds();
    stage.log_rows(rows.clone()).await;
    let everything = PageRequest { rows: 1_000, after: None, with_total: false };
    let found = async |scope, filter: &AttemptFilter| {
        attempts(&stage.log, scope, filter, &everything).await.unwrap().rows
    };
    let all = found(Scope::Everything, &AttemptFilter::default()).await;
    assert_eq!(all.len(), rows.len());

    // What the tail reads from a batch is what ClickHouse has, field for field.
    let batch = encode(rows).unwrap();
    let lines = String::from_utf8(decode(&batch.payload).unwrap()).unwrap();
    let mut read: Vec<AttemptRecord> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let by_id = |records: &mut Vec<AttemptRecord>| records.sort_by_key(|record| record.attempt_id);
    let mut logged = all.clone();
    by_id(&mut read);
    by_id(&mut logged);
    assert_eq!(format!("{read:?}"), format!("{logged:?}"));

    let mut differing = 0;
    for scope in [
        Scope::Everything,
        Scope::Partner(PartnerId(id(1))),
        Scope::Partner(PartnerId(id(2))),
        Scope::Advertiser(AdvertiserId(id(1))),
        Scope::Advertiser(AdvertiserId(id(3))),
    ] {
        for filter in filters(&all) {
            let mut by_log: Vec<_> = found(scope, &filter).await.iter().map(|row| row.attempt_id).collect();
            let mut by_tail: Vec<_> =
                all.iter().filter(|row| is_match(scope, &filter, row)).map(|row| row.attempt_id).collect();
            by_log.sort_unstable();
            by_tail.sort_unstable();
            assert_eq!(by_tail, by_log, "{scope:?} {filter:?}");
            differing += usize::from(!by_log.is_empty() && by_log.len() < all.len());
        }
    }
    assert!(differing > 40, "only {differing} filters tell rows apart");
}

fn rows_of_all_kinds() -> Vec<AttemptRow> {
    let mut rows = Vec::new();
    for number in 0..48u16 {
        let n = usize::from(number);
        rows.push(AttemptRow {
            owner: ["partner", "advertiser", "platform"][n % 3],
            partner_id: id(1 + u128::from(number) % 2),
            advertiser_id: id(1 + u128::from(number) % 3),
            offer_id: id(1 + u128::from(number) % 4),
            postback_id: id(1 + u128::from(number) % 5),
            lead_id: (number % 7 != 0).then(|| id(100 + u128::from(number) % 4)),
            click_id: id(200 + u128::from(number) % 6),
            event: ["sale", "ftd", "approve"][n / 2 % 3],
            status: ["hold", "approved", "rejected", ""][n / 3 % 4],
            outcome: ["delivered", "retrying", "failed", "skipped"][n / 5 % 4],
            error_kind: ["none", "timeout", "status"][n / 4 % 3],
            response_code: [200, 0, 404, 503][n / 7 % 4],
            attempt: 1 + u32::from(number % 4),
            total_us: u64::from(number) * 1_000,
            amount: (number % 5 != 0).then(|| rust_decimal::Decimal::new(i64::from(number) * 123_456, 6)),
            payout: (number % 5 != 1).then(|| rust_decimal::Decimal::from(number)),
            is_test: number % 11 == 0,
            ..attempt(&format!("t{}", number % 9), at(i64::from(number)))
        });
    }
    rows
}

fn filters(all: &[AttemptRecord]) -> Vec<AttemptFilter> {
    let none = AttemptFilter::default;
    vec![
        none(),
        AttemptFilter { statuses: vec![Status::Hold, Status::Rejected], ..none() },
        AttemptFilter { outcomes: vec![Outcome::Failed], ..none() },
        AttemptFilter { events: vec![Event::FirstDeposit, Event::Sale], ..none() },
        AttemptFilter { error_kinds: vec![ErrorKind::Timeout], ..none() },
        AttemptFilter { response_codes: vec![0, 503], ..none() },
        AttemptFilter { offer_ids: vec![id(1), id(4)], ..none() },
        AttemptFilter { partner_ids: vec![id(2)], ..none() },
        AttemptFilter { advertiser_ids: vec![id(1), id(3)], ..none() },
        AttemptFilter { postback_ids: vec![id(5)], ..none() },
        AttemptFilter { delivery_id: Some(all[0].delivery_id), ..none() },
        AttemptFilter { lead_id: Some(id(101)), ..none() },
        AttemptFilter { click_id: Some(id(203)), ..none() },
        AttemptFilter { txid: Some("t3".into()), ..none() },
        AttemptFilter { attempt_at_least: Some(3), ..none() },
        AttemptFilter { total_us_at_least: Some(20_000), ..none() },
        AttemptFilter { from: Some(at(10)), to: Some(at(20)), ..none() },
        AttemptFilter { tests: TestRows::LeftOut, ..none() },
        AttemptFilter { tests: TestRows::Only, ..none() },
        AttemptFilter { outcomes: vec![Outcome::Delivered], offer_ids: vec![id(2)], ..none() },
    ]
}

#[actix_web::test]
async fn each_role_sees_its_own() {
    let databases = Databases::shared().await;
    store_network(&databases.pool).await;
    let server = Server::start(&databases).await;
    let mut sockets = Vec::new();
    for (grant, expected) in [
        (Grant::Owner, vec!["of partner 1", "of partner 2", "of advertiser 1", "of the platform"]),
        (
            Grant::Bi(Scope::Everything),
            vec!["of partner 1", "of partner 2", "of advertiser 1", "of the platform"],
        ),
        (Grant::Partner(PartnerId(id(1))), vec!["of partner 1"]),
        (Grant::Bi(Scope::Partner(PartnerId(id(2)))), vec!["of partner 2"]),
        (Grant::Advertiser(AdvertiserId(id(1))), vec!["of advertiser 1"]),
        (Grant::Advertiser(AdvertiserId(id(2))), vec![]),
    ] {
        let token = tokens::create(&databases.pool, grant, "").await.unwrap().secret;
        let mut socket = Socket::of(&server, &token).await;
        // Naming what is another's does not make it visible.
        socket.tail("1", "filter: {partnerIds: [], advertiserIds: []}").await;
        sockets.push((socket, grant, expected));
    }
    // One that each sees, to know that it is through.
    let own = |txid: &str, owner, advertiser, partner| AttemptRow {
        owner,
        advertiser_id: id(advertiser),
        partner_id: id(partner),
        ..attempt(txid, Utc::now())
    };
    let to_all = |txid: &'static str| {
        vec![
            own(txid, "partner", 9, 1),
            own(txid, "partner", 9, 2),
            own(txid, "advertiser", 1, 9),
            own(txid, "advertiser", 2, 9),
        ]
    };
    until_followed(&server, 6).await;
    record(
        &databases.pool,
        [
            own("of partner 1", "partner", 1, 1),
            own("of partner 2", "partner", 1, 2),
            own("of advertiser 1", "advertiser", 1, 1),
            own("of the platform", "platform", 1, 1),
        ],
    )
    .await;
    record(&databases.pool, to_all("end")).await;
    for (socket, grant, expected) in &mut sockets {
        assert_eq!(txids(&socket.attempts_until("end").await), *expected, "{grant:?}");
    }
}

#[actix_web::test]
async fn a_slow_reader_is_told_what_it_missed_and_holds_up_nobody() {
    const ROWS: usize = 25_000;
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let server = Server::start(&databases).await;
    // Shipping takes its own memory, now less and now more: it is not what is measured.
    let shipper = databases.pool.get().await.unwrap();
    let _held = log_batches::hold_shipments(&shipper, Log::Attempts).await.unwrap();
    let mut slow = Socket::of(&server, &token).await;
    let mut quick = Socket::of(&server, &token).await;
    let body = "x".repeat(3_000);
    let write = async || {
        for batch in 0..ROWS / 200 {
            let rows = (0..200).map(|number| AttemptRow {
                response_body: body.clone(),
                ..attempt(&format!("{}", batch * 200 + number), Utc::now())
            });
            record(&databases.pool, rows).await;
        }
        record(&databases.pool, [attempt("end", Utc::now())]).await;
    };
    // What so many rows take in any case.
    quick.tail("1", "").await;
    until_followed(&server, 1).await;
    tokio::join!(write(), quick.attempts_until("end"));
    let before = peak_memory(&server);

    slow.tail("1", "").await;
    until_followed(&server, 2).await;
    // One reads, and lacks nothing or is told so; the other does not read at all meanwhile.
    let ((), quickly) = tokio::join!(write(), quick.attempts_until("end"));
    let dropped = |attempts: &[serde_json::Value]| -> usize {
        attempts.iter().map(|attempt| attempt["droppedBefore"].as_u64().unwrap() as usize).sum()
    };
    assert_eq!(quickly.len() + dropped(&quickly), ROWS);
    let mut slowly = Vec::new();
    let mut lost = 0;
    loop {
        let attempt = slow.attempt().await;
        lost += attempt["droppedBefore"].as_u64().unwrap() as usize;
        if attempt["txid"] == "end" {
            break;
        }
        slowly.push(attempt);
    }
    each_once(&slowly);
    assert!(lost > 0, "{} came to one that did not read", slowly.len());
    assert_eq!(slowly.len() + lost, ROWS);
    // All of them would be 80 MB and more.
    let grown = peak_memory(&server) - before;
    assert!(grown < 48 * 1024 * 1024, "the server grew by {grown} bytes");
}

/// The most memory a process has had so far, in bytes.
pub fn peak_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
