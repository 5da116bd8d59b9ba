//! All of a node that sends, in this process and on one thread: the real dispatcher, its supervisor,
//! recorder and rescuer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Actor, Addr, Arbiter};
use futures_util::future::BoxFuture;
use ricochet::domain::access::allowlist::{Allowlist, parse_networks};
use ricochet::domain::address_policy::Policy;
use ricochet::domain::ids::{NodeId, PostbackId};
use ricochet::outbound::resolver::{LookupError, Resolve};
use ricochet::outbound::{HttpSender, OutboundSettings};
use ricochet::pipeline::claim_desk::ClaimDesk;
use ricochet::pipeline::dispatcher_supervisor::DispatcherSupervisor;
use ricochet::pipeline::held::Held;
use ricochet::pipeline::lease_keeper::LeaseKeeper;
use ricochet::pipeline::outcome_recorder::OutcomeRecorder;
use ricochet::pipeline::rescuer::Rescuer;
use ricochet::pipeline::services::Services;
use ricochet::pipeline::ward::Ward;
use ricochet::store::deliveries;
use ricochet::store::pool::Pools;
use ricochet::store::queue_claims::{self, QueueAsk};
use ricochet::store::secrets::Keyring;
use serde_json::Value;
use uuid::Uuid;

use super::stage::{postback, report};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::Tracker;
use crate::support::world::World;

/// Takes one from `left`, if there is one.
pub fn take(left: &AtomicUsize) -> bool {
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

/// What a node has before it does anything, also before it holds its lease.
pub async fn services(world: &World) -> Arc<Services> {
    let pools = Pools::build(&world.databases.database_url, 4, 1).unwrap();
    let log = world.databases.log.clone();
    let policy = Policy {
        allowed_networks: Allowlist::new(parse_networks("127.0.0.1").unwrap()),
        ..Policy::default()
    };
    let node = NodeId(Uuid::now_v7());
    Arc::new(Services::new(node, &pools, log, Keyring::default(), policy, 100).await.unwrap())
}

pub struct Node {
    pub services: Arc<Services>,
    pub supervisor: Addr<DispatcherSupervisor>,
    pub ward: Ward,
}

impl Node {
    /// `panics`: so many times the look-up of a name panics.
    pub async fn start(world: &World, panics: usize) -> Self {
        let services = services(world).await;
        services.lease.renew(&services.pool, services.node).await.unwrap();
        LeaseKeeper::new(services.clone()).start();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Arc::new(Panicking { left: AtomicUsize::new(panics) });
        let policy = services.outbound_policy.clone();
        let settings = OutboundSettings { policy, ..OutboundSettings::default() };
        let sender = HttpSender::with_resolver(&settings, resolver).unwrap();
        let desk = ClaimDesk::new(services.clone()).start();
        let ward = Ward::new(Arbiter::current(), sender.for_another_thread(), desk);
        let outcomes = OutcomeRecorder::new(services.clone()).start();
        let supervisor = DispatcherSupervisor::new(services.clone(), sender, outcomes, ward.clone()).start();
        Rescuer::new(services.clone(), supervisor.clone()).start();
        Self { services, supervisor, ward }
    }

    /// Claims so many deliveries, as if they had been written with a claim.
    pub async fn claim(&self, postback: PostbackId, count: usize) -> Vec<Held> {
        let services = &self.services;
        let settings = services.catalogue().postbacks[&postback].clone();
        let destination = services.slots.of(postback);
        let slots: Vec<_> =
            (0..count).map(|_| services.slots.admit(&destination, &settings).ok().unwrap()).collect();
        let fence = deliveries::draw_fence();
        let ask = QueueAsk { postback, places: count, from: None, fence };
        let claimed = queue_claims::claim(&services.pool, services.node, &[ask]).await.unwrap().remove(0);
        assert_eq!(claimed.deliveries.len(), count);
        let held = claimed.deliveries.into_iter().zip(slots);
        held.map(|(delivery, slot)| Held::new(services, delivery, slot)).collect()
    }
}

/// So many sales that wait for the postback, whose tracker is called by a name; and the server that
/// has taken them, stopped.
pub async fn waiting(world: &World, tracker: &Tracker, sales: usize) -> (Server, PostbackId) {
    let mut server = Server::start(&world.databases).await;
    let mut named = tracker.clone();
    named.url = tracker.url.replace("127.0.0.1", "tracker.example");
    let id = postback(world, &server, &named, "retry: {scheduleMs: [300, 300, 300]}").await;
    let pause = format!(r#"mutation {{ pausePostback(postbackId: "{id}") {{ postbackId }} }}"#);
    world.ask(&server, &pause).await;
    let click = world.click(&server, world.fixed.1).await;
    report(world, &server, &click, 0..sales).await;
    assert!(server.stop().success());
    let db = world.databases.pool.get().await.unwrap();
    db.execute("UPDATE postbacks SET is_paused = false, paused_reason = NULL", &[]).await.unwrap();
    (server, PostbackId(id.parse().unwrap()))
}

pub async fn until_finished(world: &World, sales: usize) {
    let finished = "SELECT count(*) FROM deliveries_finished";
    eventually("all are finished", || async {
        (world.count(finished).await == i64::try_from(sales).unwrap()).then_some(())
    })
    .await;
}

/// Outcome, kind of error and number of all attempts, as a server tells them.
pub async fn logged(world: &World, server: &mut Server, count: usize) -> Vec<(String, String, u64)> {
    server.restart().await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let attempts = world.attempts(server, count).await;
    attempts
        .iter()
        .map(|one| (text(&one["outcome"]), text(&one["errorKind"]), one["attempt"].as_u64().unwrap()))
        .collect()
}

pub fn plain(told: &[(String, String, u64)]) -> Vec<(&str, &str, u64)> {
    told.iter().map(|(outcome, kind, number)| (outcome.as_str(), kind.as_str(), *number)).collect()
}
