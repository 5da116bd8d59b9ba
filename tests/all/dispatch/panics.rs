//! What becomes of deliveries when something in the sending of them panics. It is made to from outside:
//! by a resolver, or by a log that cannot take a line.

use std::fmt::{Debug, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use ricochet::pipeline::dispatcher_supervisor::{Due, Send};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::node::{Node, logged, plain, take, until_finished, waiting};
use super::stage::HOLD_UP_CLAIMS;
use crate::support::eventually;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

/// Within this a claim that was dropped is picked up; its lease is two minutes.
const SOON: Duration = Duration::from_secs(10);

/// Panics so many times at a line of the log.
struct PanicsAt {
    line: &'static str,
    left: Arc<AtomicUsize>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        write!(self.0, "{value:?} ").unwrap();
    }
}

impl<S: tracing::Subscriber> Layer<S> for PanicsAt {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        assert!(!line.0.contains(self.line) || !take(&self.left), "the log is out of order");
    }
}

/// From now on this thread panics `times` times at that line of its log.
fn panic_at(line: &'static str, times: usize) -> (Arc<AtomicUsize>, DefaultGuard) {
    let left = Arc::new(AtomicUsize::new(times));
    let layer = PanicsAt { line, left: left.clone() };
    (left, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
}

/// What a metric without labels says.
fn sample(metrics: &PrometheusHandle, name: &str) -> Option<f64> {
    let text = metrics.render();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[actix::test]
async fn an_attempt_that_panics_is_a_failed_attempt_and_tried_again() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (mut server, _) = waiting(&world, &tracker, 1).await;
    let node = Node::start(&world, 2).await;
    until_finished(&world, 1).await;
    eventually("its place is free", || async { (node.services.slots.taken() == 0).then_some(()) }).await;
    assert_eq!(tracker.received().len(), 1);
    let told = logged(&world, &mut server, 3).await;
    assert_eq!(
        plain(&told),
        [("RETRYING", "INTERNAL", 1), ("RETRYING", "INTERNAL", 2), ("DELIVERED", "NONE", 3)]
    );
}

#[actix::test]
async fn one_that_always_panics_has_its_tries_and_no_more() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (mut server, _) = waiting(&world, &tracker, 1).await;
    let node = Node::start(&world, usize::MAX).await;
    until_finished(&world, 1).await;
    eventually("its place is free", || async { (node.services.slots.taken() == 0).then_some(()) }).await;
    let told = logged(&world, &mut server, 4).await;
    assert_eq!(told.len(), 4);
    assert_eq!(plain(&told)[3], ("FAILED", "INTERNAL", 4));
}

/// What was answered counts, whatever happens to what it says of the destination.
#[actix::test]
async fn an_answer_that_cannot_be_heeded_is_recorded() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("503 Busy\r\nretry-after: 1")).await;
    let (mut server, _) = waiting(&world, &tracker, 1).await;
    let (left, _guard) = panic_at("asks to be left alone", 1);
    let _node = Node::start(&world, 0).await;
    tracker.until_received(1).await;
    tracker.behave(OK);
    until_finished(&world, 1).await;
    assert_eq!(left.load(Ordering::SeqCst), 0, "it has panicked");
    let told = logged(&world, &mut server, 2).await;
    assert_eq!(plain(&told), [("RETRYING", "STATUS", 1), ("DELIVERED", "NONE", 2)]);
}

#[actix::test]
async fn what_a_dispatcher_held_as_it_died_is_sent_by_the_next() {
    // As many places as a destination has that was never heard of.
    const SALES: usize = 2;
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (mut server, postback) = waiting(&world, &tracker, SALES).await;
    let node = Node::start(&world, 0).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    // It dies twice as it begins, with what it was given in its mailbox.
    let (left, _guard) = panic_at("a dispatcher is at work", 2);
    let held = node.claim(postback, SALES).await;
    let began = Instant::now();
    node.supervisor.send(Send(held)).await.unwrap();
    until_finished(&world, SALES).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(left.load(Ordering::SeqCst), 0, "it has died");
    assert_eq!(sample(&metrics, "ricochet_dispatcher_restarts_total"), Some(2.0));
    eventually("no place is lost", || async { (node.services.slots.taken() == 0).then_some(()) }).await;
    assert_eq!(tracker.received().len(), SALES, "each is sent once");
    let told = logged(&world, &mut server, SALES).await;
    assert_eq!(plain(&told), [("DELIVERED", "NONE", 1); SALES], "what was not sent was no attempt");
}

/// Whether its request was sent cannot be known, so it counts; and it waits as after any failure.
#[actix::test]
async fn what_was_begun_and_dropped_is_a_failed_attempt() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (mut server, postback) = waiting(&world, &tracker, 2).await;
    let node = Node::start(&world, 0).await;
    let mut held = node.claim(postback, 2).await;
    held[0].slot_mut().begin_in_time().await.unwrap();
    let began = Instant::now();
    drop(held);
    until_finished(&world, 2).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    eventually("no place is lost", || async { (node.services.slots.taken() == 0).then_some(()) }).await;
    assert_eq!(tracker.received().len(), 2);
    let mut told = logged(&world, &mut server, 3).await;
    told.sort();
    assert_eq!(
        plain(&told),
        [("DELIVERED", "NONE", 1), ("DELIVERED", "NONE", 2), ("RETRYING", "INTERNAL", 1)]
    );
}

#[actix::test]
async fn what_was_being_claimed_as_a_dispatcher_died_is_found() {
    const SALES: usize = 4;
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (mut server, postback) = waiting(&world, &tracker, SALES).await;
    let node = Node::start(&world, 0).await;
    // Nothing is to be claimed by the node itself before all is ready.
    let db = world.databases.pool.get().await.unwrap();
    let held = node.claim(postback, 1).await;
    db.batch_execute(HOLD_UP_CLAIMS).await.unwrap();
    node.supervisor.send(Due(vec![postback])).await.unwrap();
    eventually("a claim is under way", || async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        (world.count(waits).await > 0).then_some(())
    })
    .await;
    let (left, _guard) = panic_at("to be sent", 1);
    node.supervisor.send(Send(held)).await.unwrap();
    eventually("the dispatcher dies", || async { (left.load(Ordering::SeqCst) == 0).then_some(()) }).await;
    db.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    let began = Instant::now();
    until_finished(&world, SALES).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    eventually("no place is lost", || async { (node.services.slots.taken() == 0).then_some(()) }).await;
    assert_eq!(tracker.received().len(), SALES, "each is sent once");
    let told = logged(&world, &mut server, SALES).await;
    assert_eq!(plain(&told), [("DELIVERED", "NONE", 1); SALES], "what was not sent was no attempt");
}
