//! What waits and shall not be sent.

use ricochet::domain::event::Event;
use serde_json::json;

use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

#[actix_web::test]
async fn what_is_cancelled_is_not_sent_and_is_in_the_log_once() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let postback = world.only_postback().await;
    world
        .ask(&server, &format!("mutation {{ pausePostback(postbackId: \"{postback}\") {{ isPaused }} }}"))
        .await;
    world.sales(&server, &click, 4).await;
    let waiting = world.deliveries(&server, "").await;
    assert_eq!(waiting.len(), 4);
    for one in &waiting {
        assert!(["WAITING", "SENDING"].contains(&one["state"].as_str().unwrap()), "{one}");
        assert_eq!(one["isPostbackPaused"], true);
    }
    // Whatever was claimed before the pause was known is sent or given back first.
    let cancellable = "SELECT count(*) FROM deliveries WHERE claimed_by IS NULL";
    let still = world.count(cancellable).await;
    let preview =
        format!("{{ cancelPreview(filter: {{postbackIds: [\"{postback}\"]}}) {{ cancelled beingSent }} }}");
    let found = world.ask(&server, &preview).await["cancelPreview"].clone();
    assert_eq!(found["cancelled"].as_i64(), Some(still));

    let one = world.deliveries(&server, "states: [WAITING]").await[0]["deliveryId"].clone();
    let nobody = "0198d5f0-0000-7000-8000-000000000000";
    let cancel = format!(
        "mutation {{ cancelDeliveries(deliveryIds: [{one}, \"{nobody}\"]) {{ cancelled beingSent notWaiting }} }}"
    );
    let done = world.ask(&server, &cancel).await["cancelDeliveries"].clone();
    assert_eq!(done, json!({ "cancelled": 1, "beingSent": 0, "notWaiting": 1 }));
    let rest = format!(
        "mutation {{ cancelWaiting(filter: {{postbackIds: [\"{postback}\"]}}) {{ cancelled beingSent }} }}"
    );
    let done = world.ask(&server, &rest).await["cancelWaiting"].clone();
    assert_eq!(done["cancelled"].as_i64(), Some(still - 1));
    world
        .ask(&server, &format!("mutation {{ resumePostback(postbackId: \"{postback}\") {{ isPaused }} }}"))
        .await;

    let attempts = world.attempts(&server, 4).await;
    let skipped: Vec<_> = attempts.iter().filter(|attempt| attempt["outcome"] == "SKIPPED").collect();
    assert_eq!(skipped.len(), usize::try_from(still).unwrap(), "each is in the log once");
    for attempt in skipped {
        assert!(attempt["reason"].as_str().unwrap().starts_with("cancelled by owner"), "{attempt:?}");
    }
    assert_eq!(tracker.received().len(), 4 - usize::try_from(still).unwrap());
    let cancelled = world.deliveries(&server, "states: [CANCELLED]").await;
    assert_eq!(cancelled.len(), usize::try_from(still).unwrap());
    assert_eq!(cancelled[0]["attempts"], 0);
    let log = "{ auditLog(filter: {entities: [DELIVERY]}) { edges { node { action } } } }";
    let audited = world.ask(&server, log).await["auditLog"]["edges"].clone();
    assert!(audited.as_array().unwrap().iter().all(|edge| edge["node"]["action"] == "cancel"), "{audited}");
    assert_eq!(audited.as_array().unwrap().len(), 2);

    // A cancelled one can be sent after all.
    let resend = format!("mutation {{ resendDeliveries(deliveryIds: [{one}]) {{ job {{ made }} }} }}");
    assert_eq!(world.ask(&server, &resend).await["resendDeliveries"]["job"]["made"], 1);
    tracker.until_received(5 - usize::try_from(still).unwrap()).await;
}

#[actix_web::test]
async fn what_is_under_way_cannot_be_cancelled_and_the_answer_says_so() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Hang).await;
    world.postback_with(&tracker.url, &[Event::Sale], &[], 60_000).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 1).await;
    tracker.until_received(1).await;
    let sending = world.deliveries(&server, "states: [SENDING]").await;
    let id = &sending[0]["deliveryId"];
    let cancel =
        format!("mutation {{ cancelDeliveries(deliveryIds: [{id}]) {{ cancelled beingSent notWaiting }} }}");
    let done = world.ask(&server, &cancel).await["cancelDeliveries"].clone();
    assert_eq!(done, json!({ "cancelled": 0, "beingSent": 1, "notWaiting": 0 }));
    let resend =
        format!("mutation {{ resendDeliveries(deliveryIds: [{id}]) {{ deliveries {{ skipped }} }} }}");
    let said = world.ask(&server, &resend).await["resendDeliveries"]["deliveries"].clone();
    assert_eq!(said, json!([{ "skipped": "BEING_SENT" }]));
}
