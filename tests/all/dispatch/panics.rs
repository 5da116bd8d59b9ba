//! What becomes of deliveries when something in the sending of them panics. The real dispatcher, its
//! supervisor, recorder and rescuer run in this process, on one thread, and are made to panic from
//! outside: by a resolver, or by a log that cannot take a line.

use std::fmt::{Debug, Write as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter};
use futures_util::future::BoxFuture;
use ricochet::domain::access::allowlist::{Allowlist, parse_networks};
use ricochet::domain::address_policy::Policy;
use ricochet::domain::ids::{NodeId, PostbackId};
use ricochet::outbound::resolver::{LookupError, Resolve};
use ricochet::outbound::{HttpSender, OutboundSettings};
use ricochet::pipeline::dispatcher_supervisor::{DispatcherSupervisor, Due, Send};
use ricochet::pipeline::held::Held;
use ricochet::pipeline::lease_keeper::LeaseKeeper;
use ricochet::pipeline::outcome_recorder::OutcomeRecorder;
use ricochet::pipeline::rescuer::Rescuer;
use ricochet::pipeline::services::Services;
use ricochet::pipeline::ward::Ward;
use ricochet::store::deliveries;
use ricochet::store::pool::Pools;
use ricochet::store::secrets::Keyring;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use uuid::Uuid;

use super::stage::{ask, postback, report};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

/// Within this a claim that was dropped is picked up; its lease is two minutes.
const SOON: Duration = Duration::from_secs(10);

/// Takes one from `left`, if there is one.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// Panics so many times; then every name is this machine.
struct Panicking {
    left: AtomicUsize,
}

impl Resolve for Panicking {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupError>> {
        Box::pin(async {
            assert!(!take(&self.left), "the resolver is out of order");
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        })
    }
}

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

/// All of a node that sends.
struct Node {
    services: Arc<Services>,
    supervisor: Addr<DispatcherSupervisor>,
}

impl Node {
    async fn start(world: &World, panics: usize) -> Self {
        let pools = Pools::build(&world.databases.database_url, 4, 1).unwrap();
        let log = world.databases.log.clone();
        let policy = Policy {
            allowed_networks: Allowlist::new(parse_networks("127.0.0.1").unwrap()),
            ..Policy::default()
        };
        let settings = OutboundSettings { policy: policy.clone(), ..OutboundSettings::default() };
        let node = NodeId(Uuid::now_v7());
        let services = Services::new(node, &pools, log, Keyring::default(), policy, 100).await.unwrap();
        let services = Arc::new(services);
        services.lease.renew(&services.pool, node).await.unwrap();
        LeaseKeeper::new(services.clone()).start();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Arc::new(Panicking { left: AtomicUsize::new(panics) });
        let sender = HttpSender::with_resolver(&settings, resolver).unwrap();
        let ward = Ward::new(Arbiter::current(), sender.for_another_thread());
        let outcomes = OutcomeRecorder::new(services.clone()).start();
        let supervisor = DispatcherSupervisor::new(services.clone(), sender, outcomes, ward).start();
        Rescuer::new(services.clone(), supervisor.clone()).start();
        Self { services, supervisor }
    }

    /// Claims so many deliveries, as if they had been written with a claim.
    async fn claim(&self, postback: PostbackId, count: usize) -> Vec<Held> {
        let services = &self.services;
        let settings = services.catalogue().postbacks[&postback].clone();
        let destination = services.slots.of(postback);
        let slots: Vec<_> =
            (0..count).map(|_| services.slots.admit(&destination, &settings).ok().unwrap()).collect();
        let fence = deliveries::draw_fence();
        let claimed =
            deliveries::claim(&services.pool, services.node, postback, count, None, fence).await.unwrap();
        assert_eq!(claimed.deliveries.len(), count);
        let held = claimed.deliveries.into_iter().zip(slots);
        held.map(|(delivery, slot)| Held::new(services, delivery, slot)).collect()
    }
}

/// So many sales that wait for the postback, whose tracker is called by a name; and the server that
/// has taken them, stopped.
async fn waiting(world: &World, tracker: &Tracker, sales: usize) -> (Server, PostbackId) {
    let mut server = Server::start(&world.databases).await;
    let mut named = tracker.clone();
    named.url = tracker.url.replace("127.0.0.1", "tracker.example");
    let id = postback(world, &server, &named, "retry: {scheduleMs: [300, 300, 300]}").await;
    let pause = format!(r#"mutation {{ pausePostback(postbackId: "{id}") {{ postbackId }} }}"#);
    ask(world, &server, &pause).await;
    let click = world.click(&server, world.fixed.1).await;
    report(world, &server, &click, 0..sales).await;
    assert!(server.stop().success());
    let db = world.databases.pool.get().await.unwrap();
    db.execute("UPDATE postbacks SET is_paused = false, paused_reason = NULL", &[]).await.unwrap();
    (server, PostbackId(id.parse().unwrap()))
}

async fn until_finished(world: &World, sales: usize) {
    let finished = "SELECT count(*) FROM deliveries_finished";
    eventually("all are finished", || async {
        (world.count(finished).await == i64::try_from(sales).unwrap()).then_some(())
    })
    .await;
}

/// Outcome, kind of error and number of all attempts, as a server tells them.
async fn logged(world: &World, server: &mut Server, count: usize) -> Vec<(String, String, u64)> {
    server.restart().await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let attempts = world.attempts(server, count).await;
    attempts
        .iter()
        .map(|one| (text(&one["outcome"]), text(&one["errorKind"]), one["attempt"].as_u64().unwrap()))
        .collect()
}

fn plain(told: &[(String, String, u64)]) -> Vec<(&str, &str, u64)> {
    told.iter().map(|(outcome, kind, number)| (outcome.as_str(), kind.as_str(), *number)).collect()
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
    // It dies twice as it begins, with what it was given in its mailbox.
    let (left, _guard) = panic_at("a dispatcher is at work", 2);
    let held = node.claim(postback, SALES).await;
    let began = Instant::now();
    node.supervisor.send(Send(held)).await.unwrap();
    until_finished(&world, SALES).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(left.load(Ordering::SeqCst), 0, "it has died");
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
    held[0].slot_mut().begin_in_time(&node.services.lease).await.unwrap();
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

/// Held up until the lock is let go, which the session that says this holds.
const HOLD_UP_CLAIMS: &str = "
    CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$;
    SELECT pg_advisory_lock(42);
    CREATE TRIGGER hold_up BEFORE UPDATE ON deliveries FOR EACH ROW
    WHEN (OLD.claimed_by IS NULL AND NEW.claimed_by IS NOT NULL) EXECUTE FUNCTION hold_up();";

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
