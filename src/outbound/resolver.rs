//! Looks names up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};

/// A name server that does not answer is asked again, or another one, after this long.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// However long an answer says it holds, it is asked for again after this long.
const LONGEST_TTL: Duration = Duration::from_secs(600);
/// A name that does not exist yet may soon.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(10);

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("{0} does not exist, or has no address")]
    NoSuchName(String),
    #[error("{name} could not be looked up: {reason}")]
    Failed { name: String, reason: String },
}

/// Where addresses of names come from. They are asked for once a connection.
pub trait Resolve: Send + Sync {
    /// All addresses of `name`, IPv4 and IPv6; never an empty list.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupError>>;
}

impl fmt::Debug for dyn Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolve")
    }
}

/// The resolver of this machine: by `/etc/hosts` and the name servers of `/etc/resolv.conf`
/// with a cache, or, where these cannot be read, by the C library.
pub fn of_this_machine() -> Arc<dyn Resolve> {
    match cached() {
        Ok(resolver) => Arc::new(Cached(resolver)),
        Err(error) => {
            tracing::warn!(%error, "names are looked up by the C library, without a cache");
            Arc::new(Library)
        }
    }
}

/// The same, by these name servers instead of those of `/etc/resolv.conf`.
pub fn of_name_servers(servers: &[SocketAddr]) -> anyhow::Result<Arc<dyn Resolve>> {
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    Ok(Arc::new(Cached(finish(builder)?)))
}

fn cached() -> Result<TokioResolver, NetError> {
    finish(TokioResolver::builder_tokio()?)
}

fn finish(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = SERVER_TIMEOUT;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
    builder.build()
}

/// Holds answers as long as they say, at most ten minutes. A look-up takes no thread.
struct Cached(TokioResolver);

impl Resolve for Cached {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupError>> {
        Box::pin(async move {
            let found = self.0.lookup_ip(name).await.map_err(|error| {
                if error.is_nx_domain() || error.is_no_records_found() {
                    LookupError::NoSuchName(name.to_owned())
                } else {
                    LookupError::Failed { name: name.to_owned(), reason: error.to_string() }
                }
            })?;
            some(name, found.iter().collect())
        })
    }
}

struct Library;

impl Resolve for Library {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupError>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0))
                .await
                .map_err(|error| LookupError::Failed { name: name.to_owned(), reason: error.to_string() })?;
            some(name, found.map(|address| address.ip()).collect())
        })
    }
}

fn some(name: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, LookupError> {
    if addresses.is_empty() { Err(LookupError::NoSuchName(name.to_owned())) } else { Ok(addresses) }
}
