//! The connection pool.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The connections of a node, by who uses them.
///
/// What serves a connection is a task on the thread that made it. Where a pool's users are all on
/// one thread, nothing that PostgreSQL answers passes from thread to thread.
#[derive(Clone)]
pub struct Pools {
    /// For batches of conversions and of clicks: of the lanes' thread only.
    pub lanes: Pool,
    /// For batches of outcomes, which are written one after the other: of the dispatchers' thread only.
    pub outcomes: Pool,
    /// For the node's lease, which waits for nobody: of the lease keeper's thread only.
    pub leases: Pool,
    /// For GraphQL: however many dashboards ask, conversions are taken.
    pub readers: Pool,
    pub common: Pool,
}

impl Pools {
    /// At most `connections` in all; a lane uses one at a time, and so does the click recorder.
    pub fn build(database_url: &str, connections: usize, lanes: usize) -> anyhow::Result<Self> {
        let readers = connections / 4;
        let lanes = (lanes + 1).min(connections / 2 - 2);
        Ok(Self {
            lanes: build(database_url, lanes)?,
            outcomes: build(database_url, 1)?,
            leases: build(database_url, 1)?,
            readers: build_for(database_url, readers, TargetSessionAttrs::Any)?,
            common: build(database_url, connections - readers - lanes - 2)?,
        })
    }

    pub fn close(&self) {
        for pool in [&self.lanes, &self.outcomes, &self.leases, &self.readers, &self.common] {
            pool.close();
        }
    }
}

/// How long a caller waits for a connection before it hears that PostgreSQL is away.
const WAIT: Duration = Duration::from_secs(5);

/// Said on every new connection. A commit is on disk before it is answered; a statement that
/// hangs is ended rather than waited for. Plans are made for anything that may be asked, and seem so
/// costly that PostgreSQL would compile them, anew each time, for the few rows that are asked for.
const SESSION: &str = "SET synchronous_commit = on; SET statement_timeout = '30s'; \
                       SET idle_in_transaction_session_timeout = '30s'; SET TimeZone = 'UTC'; \
                       SET plan_cache_mode = force_generic_plan; SET jit = off";

/// A pool of at most `connections`, made as they are needed. TLS with verified certificates
/// where the URL says `sslmode=require`, plain otherwise. None is made to a server that takes no
/// changes: after a failover, one to what is still a standby would stay in the pool for ever.
pub fn build(database_url: &str, connections: usize) -> anyhow::Result<Pool> {
    build_for(database_url, connections, TargetSessionAttrs::ReadWrite)
}

fn build_for(database_url: &str, connections: usize, target: TargetSessionAttrs) -> anyhow::Result<Pool> {
    let mut config: tokio_postgres::Config = database_url
        .parse()
        .context("DATABASE_URL is not a PostgreSQL URL such as postgres://user:password@host/db")?;
    config.target_session_attrs(target);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match config.get_ssl_mode() {
        SslMode::Require => Manager::from_config(config, MakeRustlsConnect::new(tls_config()?), recycling),
        _ => Manager::from_config(config, NoTls, recycling),
    };
    let prepare = Hook::async_fn(|client, _| {
        Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
    });
    Pool::builder(manager)
        .max_size(connections)
        // The last one used: its process has its plans and tables in the processor's caches.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(WAIT))
        .recycle_timeout(Some(WAIT))
        .post_create(prepare)
        .build()
        .context("the connection pool cannot be built")
}

fn tls_config() -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    anyhow::ensure!(
        added > 0,
        "no root certificates were found; install ca-certificates to use sslmode=require"
    );
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
