//! The universal link.

use serde_json::Value;

use crate::support::server::Server;
use crate::support::world::World;

#[tokio::test]
async fn a_visitor_is_sent_on_with_a_click_id() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let (offer, link) = world.fixed;
    for path in [format!("/click/{link}?"), format!("/click?link={link}&")] {
        let url = server.url(&format!("{path}sub1=a%20b&utm_source=x%26y&clickid=theirs&zone=7"));
        let answer = world.client.get(url).header("user-agent", "Googlebot/2.1").send().await.unwrap();
        assert_eq!(answer.status(), 302);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let landing = answer.headers()["location"].to_str().unwrap();
        let (start, click_id) = landing.rsplit_once("click_id=").unwrap();
        assert_eq!(start, "https://shop.example/?sub=a%20b&src=x%26y&");

        let db = world.databases.pool.get().await.unwrap();
        let row =
            db.query_one("SELECT * FROM clicks WHERE click_id = $1::text::uuid", &[&click_id]).await.unwrap();
        let text = |column: &str| row.get::<_, String>(column);
        assert_eq!(row.get::<_, uuid::Uuid>("offer_id"), offer.0);
        assert_eq!((text("partner_clickid").as_str(), text("sub1").as_str()), ("theirs", "a b"));
        assert_eq!((text("device").as_str(), text("ip").as_str()), ("bot", "127.0.0.1"));
        let parameters: Value = row.get("parameters");
        assert_eq!(parameters, serde_json::json!({ "utm_source": "x&y", "zone": "7" }));
    }
}

#[tokio::test]
async fn without_a_partners_id_ours_stands_in() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click_id = world.click(&server, world.fixed.1).await;
    let same =
        world.count(&format!("SELECT count(*) FROM clicks WHERE partner_clickid = '{click_id}'")).await;
    assert_eq!(same, 1);
}

#[tokio::test]
async fn an_unknown_link_is_not_found() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    for path in ["/click/nonsense", "/click", "/click/01a1fb48-2562-7302-884f-2de0731a24b5"] {
        let answer = world.client.get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["errors"][0]["code"], "unknown_link");
    }
    assert_eq!(world.count("SELECT count(*) FROM clicks").await, 0);
}
