//! Clicks by the month, and their end.

use chrono::{DateTime, Days, Utc};
use ricochet::domain::click::Click;
use ricochet::domain::ids::ClickId;
use ricochet::store::clicks::{self, Found};
use ricochet::store::partitions::{self, Retention};
use uuid::Uuid;

use crate::support::server::Server;
use crate::support::world::World;

const YEAR: Retention = Retention { clicks_days: 365, history_days: 365 };

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn partitions(world: &World) -> Vec<String> {
    let db = world.databases.pool.get().await.unwrap();
    let query = "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                 WHERE inhparent = 'clicks'::regclass ORDER BY 1";
    db.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// A click of that moment, in the partition of its month.
async fn click_at(world: &World, at: DateTime<Utc>) -> Click {
    let db = world.databases.pool.get().await.unwrap();
    let row = db.query_one("SELECT advertiser_id FROM offers LIMIT 1", &[]).await.unwrap();
    let (seconds, nanos) = (u64::try_from(at.timestamp()).unwrap(), at.timestamp_subsec_nanos());
    let click_id = ClickId(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)));
    let click = Click {
        click_id,
        link_id: world.fixed.1,
        offer_id: world.fixed.0,
        partner_id: world.partner,
        advertiser_id: ricochet::domain::ids::AdvertiserId(row.get(0)),
        partner_clickid: format!("at {at}"),
        subs: Default::default(),
        ip: String::new(),
        user_agent: String::new(),
        referrer: String::new(),
        country: String::new(),
        device: String::new(),
        parameters: Default::default(),
        tracker: String::new(),
        clicked_at: at,
    };
    let node = ricochet::domain::ids::NodeId(Uuid::now_v7());
    let clicks = std::slice::from_ref(&click);
    clicks::insert(&world.databases.pool, node, clicks, &Default::default()).await.unwrap();
    click
}

async fn is_known(world: &World, click: &Click) -> bool {
    let mut known = Vec::new();
    for reference in [click.click_id.to_string(), click.partner_clickid.clone()] {
        let key = (click.advertiser_id, reference);
        let found = clicks::find(&world.databases.pool, std::slice::from_ref(&key)).await.unwrap();
        known.push(matches!(found[&key], Found::Click(_)));
    }
    assert_eq!(known[0], known[1], "found by one id and not by the other");
    known[0]
}

#[tokio::test]
async fn months_are_made_ahead_and_hold_at_their_edges() {
    let world = World::new().await;
    let keep = |now: &str| partitions::keep(&world.databases.pool, YEAR, time(now));
    // The last moment of a year, the first of the next, and a leap day.
    for (now, first, last) in [
        ("2027-12-31T23:59:59.999Z", "clicks_2027_11", "clicks_2028_02"),
        ("2028-01-01T00:00:00Z", "clicks_2027_11", "clicks_2028_03"),
        ("2028-02-29T12:00:00Z", "clicks_2027_11", "clicks_2028_04"),
    ] {
        keep(now).await.unwrap();
        let made = partitions(&world).await;
        assert_eq!(made.last().map(String::as_str), Some(last), "at {now}");
        assert!(made.iter().any(|name| name == first), "at {now}");
        assert_eq!(keep(now).await.unwrap(), Vec::<String>::new(), "twice is once");
        assert_eq!(partitions(&world).await, made);
    }
    let moments = [
        "2027-11-30T23:59:59.999Z",
        "2027-12-31T23:59:59.999Z",
        "2028-01-01T00:00:00Z",
        "2028-04-30T23:59:59.999Z",
    ];
    for (moment, partition) in
        moments.iter().zip(["clicks_2027_11", "clicks_2027_12", "clicks_2028_01", "clicks_2028_04"])
    {
        let click = click_at(&world, time(moment)).await;
        let holds = format!("SELECT count(*) FROM {partition} WHERE click_id = '{}'", click.click_id);
        assert_eq!(world.count(&holds).await, 1, "{moment}");
        assert!(is_known(&world, &click).await);
    }
}

#[tokio::test]
async fn a_month_goes_when_its_last_day_is_too_old() {
    let world = World::new().await;
    let keep = |now: &str| partitions::keep(&world.databases.pool, YEAR, time(now));
    keep("2028-01-15T00:00:00Z").await.unwrap();
    let old = click_at(&world, time("2028-01-31T23:59:59Z")).await;
    let younger = click_at(&world, time("2028-02-01T00:00:00Z")).await;

    // The last day of January is 365 days old on 30 January 2029 and still wanted.
    assert!(!keep("2029-01-30T23:59:59Z").await.unwrap().contains(&"clicks_2028_01".into()));
    assert!(is_known(&world, &old).await);
    let dropped = keep("2029-01-31T00:00:00Z").await.unwrap();
    assert!(dropped.contains(&"clicks_2028_01".into()), "{dropped:?}");
    assert!(!dropped.contains(&"clicks_2028_02".into()), "{dropped:?}");
    assert!(!is_known(&world, &old).await);
    assert!(is_known(&world, &younger).await);
}

#[tokio::test]
async fn a_conversion_of_a_dropped_click_is_unknown() {
    let world = World::new().await;
    let now = Utc::now();
    let (long_ago, lately) = (now - Days::new(500), now - Days::new(20));
    // Nothing is dropped yet: retention lasts a century.
    let century = Retention { clicks_days: 36_500, history_days: 36_500 };
    for moment in [long_ago, lately] {
        partitions::keep(&world.databases.pool, century, moment).await.unwrap();
    }
    let old = click_at(&world, long_ago).await;
    let young = click_at(&world, lately).await;
    assert!(is_known(&world, &old).await);

    // The server keeps its partitions before it is ready.
    let server = Server::start(&world.databases).await;
    let report = |click: &Click| format!("click_id={}&request_id=r&action=sale&status=new", click.click_id);
    let (status, answer) = world.report(&server, &report(&old)).await;
    assert_eq!((status, answer["errors"][0]["field"].as_str()), (422, Some("click_id")), "{answer}");
    assert_eq!(world.report(&server, &report(&young)).await.0, 200);
    assert!(server.log().contains("dropped a partition past its retention"), "{}", server.log());
}
