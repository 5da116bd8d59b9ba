//! Wires the parts together and owns the order in which they stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_web::dev::ServerHandle;
use actix_web::middleware::ErrorHandlers;
use actix_web::web::{self, Data};
use actix_web::{App as WebApp, HttpServer};
use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use url::Url;
use uuid::Uuid;

use crate::config::Settings;
use crate::domain::ids::NodeId;
use crate::doors;
use crate::doors::access::Gate;
use crate::doors::click::ClickDoor;
use crate::doors::country::{self, Countries};
use crate::doors::limiter::Limiter;
use crate::event_log::EventLog;
use crate::graphql;
use crate::graphql::http::{Connections, GraphqlDoor, Patience, watch_tokens};
use crate::outbound::{HttpSender, open_files};
use crate::panics;
use crate::pipeline::claim_desk::ClaimDesk;
use crate::pipeline::click_recorder::ClickRecorder;
use crate::pipeline::dispatcher_supervisor::DispatcherSupervisor;
use crate::pipeline::job_runner::JobRunner;
use crate::pipeline::lanes::{self, LaneSizes, Lanes};
use crate::pipeline::lease_keeper::LeaseKeeper;
use crate::pipeline::log_shipper::{self, LogShipper};
use crate::pipeline::outcome_recorder::OutcomeRecorder;
use crate::pipeline::periodic::{self, Vital};
use crate::pipeline::quarantine_releaser::QuarantineReleaser;
use crate::pipeline::rescuer::{self, Rescuer};
use crate::pipeline::services::Services;
use crate::pipeline::ward::Ward;
use crate::pipeline::{destination_exchange, health_watch};
use crate::priority::stand_back;
use crate::store::partitions::Retention;
use crate::store::pool::Pools;
use crate::store::{Pool, StoreError, migrations, nodes, resealing};
use crate::tail::Feed;

/// How often sources whose rates have recovered are forgotten.
const FORGET_SOURCES: Duration = Duration::from_secs(5);

/// How long a node that stops looks for claims that it leaves behind.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Of the threads for which neither a conversion nor a destination that is well waits.
const NICENESS: i32 = 5;

/// What every door needs.
pub struct Doors {
    pub services: Arc<Services>,
    pub lanes: Arc<Lanes>,
    pub clicks: Addr<ClickRecorder>,
    pub click: ClickDoor,
    pub metrics: PrometheusHandle,
    pub gate: Arc<Gate>,
    /// Places in the lanes for items of batches, over all requests.
    pub batch_permits: Arc<Semaphore>,
    /// Places for exports; past them callers are told to come again.
    pub exports: Arc<Semaphore>,
    /// Connections of their own for those who read: however much they read, conversions are taken.
    pub readers: Pool,
}

/// A running server.
pub struct App {
    services: Arc<Services>,
    pools: Pools,
    server: ServerHandle,
    /// Where it listens, with the port it got.
    pub address: SocketAddr,
    grace_period: Duration,
    connections: Arc<Connections>,
    /// Threads of the actors; they live as long as the app.
    _arbiters: [Arbiter; 5],
}

impl App {
    /// Migrates both databases and starts the server. ClickHouse may be away; PostgreSQL may not.
    pub async fn start(settings: &Settings, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        open_files::raise_limit();
        let log_url: Url = settings.clickhouse_url.parse().context("CLICKHOUSE_URL")?;
        let log = EventLog::new(&log_url).on_cluster(settings.clickhouse_cluster.clone());
        let countries = open_countries(settings)?;
        // ClickHouse's own migrations wait for the log shipper if it is away.
        let applied = migrations::run_postgres(&settings.database_url).await?;
        for migration in applied {
            tracing::info!(migration, "migrated");
        }
        let pools = Pools::build(&settings.database_url, settings.database_connections, settings.lanes)?;
        let readers = pools.readers.clone();
        let resealed = resealing::reseal(&pools.common, &settings.keyring).await?;
        resealed.need_every_key()?;
        if resealed.secrets > 0 {
            tracing::info!(secrets = resealed.secrets, "encrypted again under the first master key");
        }
        let node = NodeId(Uuid::now_v7());
        let services = Arc::new(
            Services::new(
                node,
                &pools,
                log,
                settings.keyring.clone(),
                settings.outbound.policy.clone(),
                outbound_capacity(settings),
            )
            .await?,
        );
        let retention = Retention {
            clicks_days: settings.click_retention_days,
            history_days: settings.history_retention_days,
        };
        periodic::keep_first_partitions(&services, retention).await?;
        // Before anything is claimed under this name: a claim of an unknown node is abandoned.
        services.lease.renew(&services.pool, node).await?;
        // Before anything is sent: limits are shared with whoever is there already.
        rescuer::know_nodes(&services).await?;
        // And what was heard of them is heeded from the first request on.
        destination_exchange::catch_up(&services).await?;

        let lane_arbiter = Arbiter::new();
        let dispatch_arbiter = Arbiter::new();
        // For destinations that are not known to be well, and for what very many hear of.
        let ward_arbiter = Arbiter::new();
        // For what takes its time: no conversion and no postback waits for it.
        let background_arbiter = Arbiter::new();
        // Nothing else runs there: see its documentation.
        let lease_arbiter = Arbiter::new();
        for arbiter in [&ward_arbiter, &background_arbiter] {
            arbiter.spawn_fn(|| stand_back(NICENESS));
        }
        let mut vital = Vec::new();
        let keeper = LeaseKeeper::start_in_arbiter(&lease_arbiter.handle(), {
            let services = services.clone();
            move |_| LeaseKeeper::new(services)
        });
        vital.push(Vital::new("lease keeper", &keeper));
        let sender = HttpSender::new(&settings.outbound)?;
        let desk = ClaimDesk::start_in_arbiter(&dispatch_arbiter.handle(), {
            let services = services.clone();
            move |_| ClaimDesk::new(services)
        });
        vital.push(Vital::new("claim desk", &desk));
        let ward = Ward::new(ward_arbiter.handle(), sender.for_another_thread(), desk);
        let supervisor =
            start_dispatching(&services, sender.clone(), ward, &dispatch_arbiter.handle(), &mut vital);
        let threads = lanes::Threads { lanes: lane_arbiter.handle(), beside: ward_arbiter.handle() };
        let sizes = LaneSizes {
            lanes: settings.lanes,
            queue_requests: settings.queue_requests,
            batch_requests: settings.batch_requests,
        };
        let lanes = Arc::new(Lanes::start(services.clone(), supervisor.clone(), sizes, threads));
        let clicks = ClickRecorder::start_in_arbiter(&lane_arbiter.handle(), {
            let services = services.clone();
            let (bound, largest) = (settings.queue_requests, settings.batch_requests);
            move |_| ClickRecorder::new(services, supervisor.recipient(), bound, largest)
        });
        vital.push(Vital::new("click recorder", &clicks));
        let shipper = LogShipper::start_in_arbiter(&background_arbiter.handle(), {
            let (services, database_url) = (services.clone(), settings.database_url.clone());
            let retention = settings.log_retention;
            move |_| LogShipper::new(services, database_url, retention)
        });
        vital.push(Vital::new("log shipper", &shipper));
        let releaser = Supervisor::start_in_arbiter(&lane_arbiter.handle(), {
            let (services, lanes) = (services.clone(), lanes.clone());
            move |_| QuarantineReleaser::new(services, lanes)
        });
        vital.push(Vital::new("quarantine releaser", &releaser));
        let runner = Supervisor::start_in_arbiter(&background_arbiter.handle(), {
            let services = services.clone();
            move |_| JobRunner::new(services)
        });
        vital.push(Vital::new("job runner", &runner));
        periodic::start(&services, &lanes, retention, vital);
        destination_exchange::start(&services);
        health_watch::start(&services, settings.failing);
        country::watch(countries.clone());
        let click = ClickDoor::new(countries, settings.network_id.clone());

        let gate = Arc::new(Gate {
            limiter: Limiter::new(settings.rates),
            trusted_proxies: settings.trusted_proxies.clone(),
            body_timeout: settings.body_timeout,
        });
        let doors = Data::new(Doors {
            services: services.clone(),
            lanes,
            clicks,
            click,
            metrics,
            gate: gate.clone(),
            batch_permits: Arc::new(Semaphore::new(batch_permits(sizes))),
            exports: Arc::new(Semaphore::new(settings.exports)),
            readers: readers.clone(),
        });
        periodic::repeat(FORGET_SOURCES, "sources are not forgotten", {
            let doors = doors.clone();
            move || {
                doors.gate.limiter.sweep();
                std::future::ready(Ok(()))
            }
        });
        let feed = Feed::new(services.pool.clone(), node);
        panics::keep_doing("the live tail's reading", {
            let feed = feed.clone();
            move || feed.clone().run()
        });
        let connections = Arc::new(Connections::new(settings.websockets, settings.websockets_per_token));
        watch_tokens(&connections, &services.pool);
        let graphql = Data::new(GraphqlDoor {
            schema: graphql::schema_of_node(services.clone(), readers.clone(), sender, feed),
            pool: readers,
            gate,
            graphiql_dir: settings.graphiql_dir.as_ref().map(PathBuf::from),
            connections: connections.clone(),
            origins: settings.websocket_origins.clone(),
            patience: Patience::default(),
        });
        let routes = move |config: &mut web::ServiceConfig| {
            graphql::http::routes(graphql.clone())(config);
            doors::routes(config);
        };
        let server = HttpServer::new(move || {
            let refusals = ErrorHandlers::new().default_handler(doors::answer::in_our_words);
            WebApp::new().wrap(refusals).app_data(doors.clone()).configure(routes.clone())
        })
        .workers(settings.workers)
        .disable_signals()
        .shutdown_timeout(settings.grace_period.as_secs())
        .bind(settings.listen)
        .with_context(|| {
            format!(
                "cannot listen on {}; if another program uses the port, choose one with --listen or \
                     RICOCHET_LISTEN",
                settings.listen
            )
        })?;
        let address = server.addrs().first().copied().unwrap_or(settings.listen);
        let server = server.run();
        let handle = server.handle();
        actix::spawn(server);
        tracing::info!(%address, %node, "listening");
        let grace_period = settings.grace_period;
        Ok(Self {
            services,
            pools,
            server: handle,
            address,
            grace_period,
            connections,
            _arbiters: [lane_arbiter, dispatch_arbiter, ward_arbiter, background_arbiter, lease_arbiter],
        })
    }

    /// Reads the network again, for whoever has just changed it.
    pub async fn refresh_catalogue(&self) -> Result<(), StoreError> {
        self.services.refresh_catalogue().await
    }

    /// Stops in this order: no new attempts; WebSockets are closed; no new requests; those under way
    /// are answered; the attempts under way are recorded; the log is shipped; the lease, which is
    /// renewed all the while, is given up. What does not end within the grace period is left to be
    /// rescued.
    pub async fn stop(self) {
        tracing::info!("stopping");
        let deadline = Instant::now() + self.grace_period;
        self.services.slots.close();
        // It is renewed all the while: what is under way is nobody else's.
        self.services.lease.leave();
        self.connections.close();
        self.server.stop(true).await;
        while self.services.slots.taken() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let left = self.services.slots.taken();
        if left > 0 {
            tracing::warn!(
                attempts = left,
                "attempts did not end within the grace period; they will be rescued"
            );
        }
        let _ = tokio::time::timeout(Duration::from_secs(2), log_shipper::flush(&self.services)).await;
        self.services.lease.end().await;
        let leaving = nodes::leave(&self.services.pool, self.services.node);
        match tokio::time::timeout(LEAVE_WITHIN, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the node's lease is left to lapse"),
            Err(_) => {
                tracing::warn!("whether the node leaves claims behind is left to the others to find out")
            }
        }
        self.pools.close();
        tracing::info!("stopped");
    }
}

fn open_countries(settings: &Settings) -> anyhow::Result<Arc<Countries>> {
    let header = settings.country_header.clone();
    if header.is_some() && settings.trusted_proxies.networks().is_empty() {
        tracing::warn!("RICOCHET_COUNTRY_HEADER is not believed from anybody: set RICOCHET_TRUSTED_PROXIES");
    }
    let database = settings.geo_database.as_ref().map(PathBuf::from);
    Ok(Arc::new(Countries::open(header, database).context("RICOCHET_GEO_DATABASE")?))
}

/// Items of batches that may be in the lanes at once: enough to fill a batch of every lane, and
/// even all in one lane (a batch about one click) half its queue, so that none of them is
/// refused for want of room that singles leave.
fn batch_permits(sizes: LaneSizes) -> usize {
    (sizes.queue_requests / sizes.lanes / 2).clamp(1, 512)
}

/// How many requests to destinations this node can have under way: as many as are set, as far as
/// half of the files it may open allow. The other half is for those who call.
fn outbound_capacity(settings: &Settings) -> usize {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return settings.outbound_requests };
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        tracing::debug!(%error, "the soft limit of open files stays as it is");
    }
    let open_files = getrlimit(Resource::RLIMIT_NOFILE).map_or(hard, |(soft, _)| soft);
    let allowed = usize::try_from(open_files / 2).unwrap_or(usize::MAX);
    if allowed < settings.outbound_requests {
        tracing::warn!(
            open_files,
            requests = allowed,
            "fewer requests to destinations at once than RICOCHET_OUTBOUND_REQUESTS says: each is an open file; \
             raise the limit of open files (ulimit -n)"
        );
    }
    allowed.min(settings.outbound_requests)
}

/// Starts everything that sends, on a thread of its own.
fn start_dispatching(
    services: &Arc<Services>,
    sender: HttpSender,
    ward: Ward,
    arbiter: &ArbiterHandle,
    vital: &mut Vec<Vital>,
) -> Addr<DispatcherSupervisor> {
    let outcomes = OutcomeRecorder::start_in_arbiter(arbiter, {
        let services = services.clone();
        move |_| OutcomeRecorder::new(services)
    });
    vital.push(Vital::new("outcome recorder", &outcomes));
    let supervisor = DispatcherSupervisor::start_in_arbiter(arbiter, {
        let services = services.clone();
        move |_| DispatcherSupervisor::new(services, sender, outcomes, ward)
    });
    vital.push(Vital::new("dispatcher supervisor", &supervisor));
    let rescuer = Rescuer::start_in_arbiter(arbiter, {
        let (services, supervisor) = (services.clone(), supervisor.clone());
        move |_| Rescuer::new(services, supervisor)
    });
    vital.push(Vital::new("rescuer", &rescuer));
    supervisor
}
