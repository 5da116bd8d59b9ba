//! Names in the views are those of today, also in old rows.

use ricochet::domain::event::Event;
use serde_json::json;

use crate::support::clickhouse::ClickHouseUser;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

#[tokio::test]
async fn a_new_name_stands_in_old_rows_within_a_moment() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale, Event::Approve]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;
    world.attempts(&server, 1).await;
    let log = ClickHouseUser::of(&world.databases.clickhouse_url);
    let row = async || log.rows("SELECT partner, offer, advertiser, destination FROM v_attempts").await;
    assert_eq!(
        row().await,
        [
            json!({ "partner": "Partner", "offer": "Offer", "advertiser": "Advertiser", "destination": "127.0.0.1" })
        ]
    );
    let postback = log.rows("SELECT postback, owner, partner, offer_id, state FROM v_postbacks").await;
    assert_eq!(
        postback,
        [json!({
            "postback": "127.0.0.1 (sale, approve)", "owner": "partner", "partner": "Partner",
            "offer_id": null, "state": "active",
        })]
    );

    let rename = format!(
        r#"mutation {{ updatePartner(input: {{ partnerId: "{}", name: "O'Brien \"& Söhne\"" }}) {{ name }} }}"#,
        world.partner
    );
    world.graphql(&server, &world.owner_token, &rename).await;
    eventually("the new name is in the log", || async {
        (row().await[0]["partner"] == "O'Brien \"& Söhne\"").then_some(())
    })
    .await;

    // A node that knew an older state tells it too late: it changes nothing.
    log.text(&format!(
        "INSERT INTO names (kind, id, name, state, version) VALUES ('partner', '{}', 'Stale', 'active', 1)",
        world.partner
    ))
    .await;
    assert_eq!(row().await[0]["partner"], "O'Brien \"& Söhne\"");

    let db = world.databases.pool.get().await.unwrap();
    db.execute("UPDATE postbacks SET is_paused = true", &[]).await.unwrap();
    eventually("the postback is shown as paused", || async {
        (log.text("SELECT state FROM v_postbacks").await == "paused").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_emptied_clickhouse_hears_every_name_again() {
    let world = World::new().await;
    let mut server = Server::start(&world.databases).await;
    let log = ClickHouseUser::of(&world.databases.clickhouse_url);
    let has_names = || async { (log.text("SELECT count() FROM v_offers").await == "3").then_some(()) };
    eventually("the names are there", has_names).await;
    server.stop();
    log.text("DROP TABLE names SYNC").await;
    server.restart().await;
    eventually("the table and its names are there again", || async {
        (log.ask("SELECT count() FROM v_offers").await == (200, "3".to_owned())).then_some(())
    })
    .await;
}
