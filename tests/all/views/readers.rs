//! What the user `dash` can read, and who reads the views of partners and advertisers.

use ricochet::domain::event::Event;
use uuid::Uuid;

use crate::support::clickhouse::ClickHouseUser;
use crate::support::databases::Databases;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// A network with one of everything in the log.
async fn lively_world() -> (World, Server, Tracker) {
    let world = World::on(Databases::readable().await).await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new&price=5")).await;
    world.attempts(&server, 1).await;
    (world, server, tracker)
}

fn reader(world: &World) -> ClickHouseUser {
    ClickHouseUser::of(&world.databases.pair.engines.clickhouse_reader_url().unwrap())
}

fn owner(world: &World) -> ClickHouseUser {
    ClickHouseUser::of(&world.databases.clickhouse_url)
}

#[tokio::test]
async fn dash_reads_the_views_and_nothing_else() {
    let (world, _server, _tracker) = lively_world().await;
    let (dash, owner) = (reader(&world), owner(&world));
    assert_eq!(dash.text("SELECT currentUser()").await, "dash");
    let granted = [
        "v_advertisers",
        "v_attempt_timings_by_day",
        "v_attempts",
        "v_attempts_by_day",
        "v_attempts_by_minute",
        "v_clicks",
        "v_conversion_events",
        "v_inbound_requests",
        "v_offers",
        "v_partners",
        "v_postbacks",
    ];
    for view in granted {
        assert!(!dash.rows(&format!("SELECT * FROM {view} LIMIT 1")).await.is_empty(), "{view} has no rows");
    }
    let shown = dash.lines("SHOW TABLES").await;
    assert!(granted.iter().all(|view| shown.contains(&(*view).to_owned())), "{shown:?}");
    assert!(shown.iter().all(|name| name.starts_with("v_") && !name.starts_with("v_partner_")), "{shown:?}");

    let mut forbidden: Vec<String> = owner
        .lines("SELECT name FROM system.tables WHERE database = currentDatabase()")
        .await
        .into_iter()
        .filter(|table| !shown.contains(table))
        .map(|table| format!("SELECT * FROM `{table}` LIMIT 1"))
        .collect();
    assert!(forbidden.contains(&"SELECT * FROM `attempts` LIMIT 1".to_owned()), "{forbidden:?}");
    assert!(forbidden.contains(&"SELECT * FROM `view_readers` LIMIT 1".to_owned()), "{forbidden:?}");
    forbidden.extend(
        [
            "SELECT url FROM attempts LIMIT 1",
            "SELECT url FROM v_attempts LIMIT 1",
            "SELECT * FROM merge('ricochet', '^attempts$')",
            "SELECT * FROM system.users",
            "SELECT * FROM system.processes",
            "SELECT * FROM system.parts",
            "SELECT * FROM system.server_settings",
            "SHOW CREATE TABLE attempts",
            "SHOW USERS",
            "SELECT * FROM file('/etc/passwd', 'LineAsString')",
            "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
            "SELECT * FROM remote('127.0.0.1:9000', 'ricochet', 'attempts')",
            "SELECT * FROM postgresql('127.0.0.1:5432', 'ricochet', 'tokens', 'a', 'b')",
            "SELECT * FROM s3('http://127.0.0.1:1/a.csv', 'CSV')",
            "SELECT * FROM executable('id', 'TSV', 'a String')",
            "INSERT INTO v_attempts SELECT * FROM v_attempts",
            "INSERT INTO view_readers VALUES ('dash', NULL, NULL)",
            "INSERT INTO FUNCTION file('out', 'TSV', 'a UInt8') VALUES (1)",
            "CREATE VIEW mine AS SELECT 1",
            "CREATE TEMPORARY TABLE mine (a UInt8)",
            "DROP VIEW v_attempts",
            "KILL QUERY WHERE 1",
            "SYSTEM FLUSH LOGS",
            "GRANT SELECT ON ricochet.attempts TO dash",
            "SELECT 1 SETTINGS max_execution_time = 0",
            "SELECT 1 SETTINGS max_execution_time = 600",
            "SELECT 1 SETTINGS max_memory_usage = 0",
            "SELECT 1 SETTINGS max_concurrent_queries_for_user = 0",
            "SELECT 1 SETTINGS readonly = 0",
        ]
        .map(str::to_owned),
    );
    for statement in forbidden {
        let (status, answer) = dash.ask(&statement).await;
        assert_ne!(status, 200, "{statement}: {answer}");
        // Refused for what it is, not for a slip in this list.
        assert!(!answer.contains("SYNTAX_ERROR"), "{statement}: {answer}");
    }
    assert_eq!(dash.text("SELECT 1 SETTINGS max_execution_time = 60").await, "1");
}

#[tokio::test]
async fn a_user_reads_as_whom_the_owner_says_and_as_nobody_else() {
    let (world, server, _tracker) = lively_world().await;
    let (dash, owner) = (reader(&world), owner(&world));
    // Another partner with a click, and the platform's postback beside the partner's.
    let db = world.databases.pool.get().await.unwrap();
    let stranger = ricochet::store::network::add_partner(&db, "Stranger").await.unwrap();
    let strange_link = ricochet::store::network::add_link(&db, world.fixed.0, stranger).await.unwrap();
    let strange_click = world.click_once_known(&server, strange_link).await;
    let report = format!("click_id={strange_click}&request_id=s&action=sale&status=new&price=5");
    assert_eq!(world.report(&server, &report).await.0, 200);
    world.until_settled().await;
    let clicks = owner.text("SELECT uniqExact(partner_id) FROM clicks").await;
    assert_eq!(clicks, "2");

    let advertiser = owner.text("SELECT advertiser_id FROM v_advertisers").await;
    let partner = world.partner.to_string();
    let views = [
        ("v_partner_attempts", "partner_id"),
        ("v_partner_clicks", "partner_id"),
        ("v_partner_conversion_events", "partner_id"),
        ("v_advertiser_attempts", "advertiser_id"),
        ("v_advertiser_inbound_requests", "advertiser_id"),
        ("v_advertiser_conversion_events", "advertiser_id"),
    ];
    for (view, _) in views {
        assert_eq!(owner.text(&format!("SELECT count() FROM {view}")).await, "0", "{view} without a row");
        assert_ne!(dash.ask(&format!("SELECT count() FROM {view}")).await.0, 200, "{view} without a grant");
    }
    let own = owner.text("SELECT currentUser()").await;
    owner
        .text(&format!(
            "INSERT INTO view_readers (user_name, partner_id) VALUES ('{own}', '{partner}'), ('dash', '{stranger}')"
        ))
        .await;
    let seen = async |view: &str, id: &str| {
        owner.lines(&format!("SELECT DISTINCT toString({id}) FROM {view}")).await
    };
    assert_eq!(seen("v_partner_clicks", "partner_id").await, [&*partner]);
    assert_eq!(seen("v_partner_attempts", "partner_id").await, [&*partner]);
    assert_eq!(seen("v_partner_conversion_events", "partner_id").await, [&*partner]);
    assert!(seen("v_advertiser_inbound_requests", "advertiser_id").await.is_empty());

    // It is the user who asks that counts, not the one whose rights the views have.
    owner
        .text(
            "CREATE OR REPLACE VIEW v_clicks DEFINER = CURRENT_USER SQL SECURITY DEFINER
             AS SELECT partner_id FROM v_partner_clicks",
        )
        .await;
    let of_dash = dash.lines("SELECT DISTINCT toString(partner_id) FROM v_clicks").await;
    assert_eq!(of_dash, [stranger.to_string()]);

    owner.text("DELETE FROM view_readers WHERE user_name != 'dash'").await;
    assert!(seen("v_partner_clicks", "partner_id").await.is_empty());
    owner
        .text(&format!(
            "INSERT INTO view_readers (user_name, advertiser_id) VALUES ('{own}', '{advertiser}')"
        ))
        .await;
    assert_eq!(seen("v_advertiser_inbound_requests", "advertiser_id").await, [&*advertiser]);
    assert_eq!(seen("v_advertiser_conversion_events", "advertiser_id").await, [&*advertiser]);
    assert!(seen("v_advertiser_attempts", "advertiser_id").await.is_empty(), "the partner's own attempts");
    assert!(seen("v_partner_attempts", "partner_id").await.is_empty());
    let nobody = Uuid::nil();
    owner
        .text(&format!("INSERT INTO view_readers (user_name, partner_id) VALUES ('{own}', '{nobody}')"))
        .await;
    assert!(seen("v_partner_attempts", "partner_id").await.is_empty());
}
