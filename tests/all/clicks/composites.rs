//! Several values in one parameter, over the wire.

use ricochet::domain::composite::Composite;
use ricochet::domain::event::Event;
use ricochet::domain::ids::LinkId;
use ricochet::domain::postback::{Owner, Scope};
use ricochet::store::links::{self, LinkError};
use ricochet::store::network::{self, NewPostback};
use serde_json::Value;
use uuid::Uuid;

use super::{click_of, location, raw_request};
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

async fn world_with(composite: &Composite) -> World {
    let world = World::new().await;
    let db = world.databases.pool.get().await.unwrap();
    links::set_composite(&db, world.fixed.1, Some(composite)).await.unwrap();
    drop(db);
    world
}

#[tokio::test]
async fn a_composite_comes_in_and_goes_out_the_same() {
    let world = world_with(&Composite::revshare()).await;
    let tracker = Tracker::start(OK).await;
    let db = world.databases.pool.get().await.unwrap();
    let postback = NewPostback {
        owner: Owner::Partner(world.partner),
        scope: Scope::Global,
        events: &[Event::Sale],
        url_template: &format!(
            "{}/p?cid={{clickid}}&tracker={{tracker}}&id={{fields.account_id}}&any={{fields.any}}",
            tracker.url
        ),
        retry_schedule_ms: None,
        timeout_ms: 10_000,
        max_in_flight: 1,
    };
    network::add_postback(&db, &postback).await.unwrap();
    let server = Server::start(&world.databases).await;

    let text = "trID_A 1#-##-#c-9#-#ü_trID";
    for (nth, encoded) in [
        "trID_A+1%23-%23%23-%23c-9%23-%23%C3%BC_trID",
        "trID_A%25201%2523-%2523%2523-%2523c-9%2523-%2523%25C3%25BC_trID",
    ]
    .iter()
    .enumerate()
    {
        let url = server.url(&format!("/click/{}?id=500&tracker={encoded}", world.fixed.1));
        let landing = location(&world.client.get(url).send().await.unwrap());
        let (_, click_id) = landing.rsplit_once("click_id=").unwrap();
        let click = click_of(&world, click_id).await;
        assert_eq!(click.get::<_, String>("partner_clickid"), "c-9");
        let parameters: Value = click.get("parameters");
        assert_eq!((&parameters["affiliate_id"], &parameters["account_id"]), (&"A 1".into(), &"500".into()));

        let report = format!("click_id={click_id}&request_id=r{nth}&action=sale&status=new");
        assert_eq!(world.report(&server, &report).await.0, 200);
        let received = &tracker.until_received(nth + 1).await[nth];
        assert_eq!(received.parameter("tracker").unwrap(), text);
        assert_eq!(received.parameter("cid").unwrap(), "c-9");
        assert_eq!(
            (received.parameter("id").unwrap(), received.parameter("any").unwrap()),
            ("500".into(), "ü".into())
        );
    }
}

/// The HTTP parser takes a raw `#` and what follows it for a fragment and drops both: the click
/// stays, with what had come before.
#[tokio::test]
async fn a_raw_hash_cuts_the_request_but_not_the_visitor() {
    let world = world_with(&Composite::pps()).await;
    let server = Server::start(&world.databases).await;
    let target = format!("/click/{}?id=66013&tracker=trID_500#-#T7#-#c-9#-#_trID&sub1=x", world.fixed.1);
    let answer = raw_request(&server, &format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    let db = world.databases.pool.get().await.unwrap();
    let click = db.query_one("SELECT * FROM clicks", &[]).await.unwrap();
    let parameters: Value = click.get("parameters");
    assert_eq!(
        parameters,
        serde_json::json!({ "id": "66013", "tracker": "trID_500", "ricochet.composite": "no_end_marker" })
    );
    assert_eq!((click.get::<_, &str>("tracker"), click.get::<_, &str>("sub1")), ("trID_500", ""));
}

#[tokio::test]
async fn wrong_settings_are_refused_and_change_nothing() {
    let world = world_with(&Composite::pps()).await;
    let db = world.databases.pool.get().await.unwrap();
    let wrong = Composite { separator: String::new(), ..Composite::pps() };
    let error = links::set_composite(&db, world.fixed.1, Some(&wrong)).await.unwrap_err();
    assert!(error.to_string().starts_with("the composite cannot be used: separator: "), "{error}");
    let kept: Value = db
        .query_one("SELECT composite FROM links WHERE link_id = $1", &[&world.fixed.1.0])
        .await
        .unwrap()
        .get(0);
    assert_eq!(serde_json::from_value::<Composite>(kept).unwrap(), Composite::pps());
    let nobodys = links::set_composite(&db, LinkId(Uuid::nil()), None).await;
    assert!(matches!(nobodys, Err(LinkError::Unknown(_))));
    links::set_composite(&db, world.fixed.1, None).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM links WHERE composite IS NOT NULL").await, 0);
}
