//! Sends one request to a destination and reads its answer, under one deadline.
//!
//! ```text
//! vet the URL ─► a waiting connection? ─ yes ──────────────────────────► send ─► head ─► body
//!                     └ no ─► look up ─► vet all addresses ─► TCP ─► TLS ─┘
//! ```
//!
//! Redirects are never followed, and the environment's proxies never used: each would lead where
//! nobody has vetted the way. A connection that waits leads to an address that was vetted when it
//! was opened.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Version};
use http_body_util::BodyExt;
use url::Url;

use super::body::Body;
use super::connection::Connection;
use super::connector::Connector;
use super::failure::Failure;
use super::open_files;
use super::pool::Pool;
use super::proxy::Proxy;
use super::request::{Destination, Prepared};
use super::resolver::{self, Resolve};
use super::timings::{Phase, Timings, micros};
use super::tls::TlsSettings;
use crate::domain::address_policy::Policy;
use crate::domain::client_certificate::ClientCertificate;
use crate::domain::request::RenderedRequest;
use crate::domain::retry::{ErrorKind, Exchange};

/// Characters of a header's value that are told on.
const KEPT_HEADER_CHARS: usize = 2_000;

/// What the owner says of the way out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutboundSettings {
    pub policy: Policy,
    pub proxy: Option<Proxy>,
    /// Authorities trusted besides the machine's own, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Asked for names; empty: those of the machine.
    pub name_servers: Vec<SocketAddr>,
}

/// The HTTP client of all dispatchers; clones share their connections.
#[derive(Clone)]
pub struct HttpSender {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Arc<Connector>,
    pool: Pool,
}

/// What an exchange came to.
#[derive(Debug)]
pub struct Sent {
    pub exchange: Exchange,
    /// Empty where no answer came.
    pub response_headers: HeaderMap,
    /// The first 4 KiB, decompressed.
    pub response_body: String,
    pub timings: Timings,
    pub total_us: u64,
}

impl HttpSender {
    pub fn new(settings: &OutboundSettings) -> anyhow::Result<Self> {
        let resolver = match settings.name_servers.as_slice() {
            [] => resolver::of_this_machine(),
            servers => resolver::of_name_servers(servers)?,
        };
        Self::with_resolver(settings, resolver)
    }

    /// With names looked up elsewhere.
    pub fn with_resolver(settings: &OutboundSettings, resolver: Arc<dyn Resolve>) -> anyhow::Result<Self> {
        let connector = Arc::new(Connector {
            policy: settings.policy.clone(),
            resolver,
            tls: TlsSettings::load(settings.ca_file.as_deref())?,
            proxy: settings.proxy.clone(),
        });
        let pool = Pool::new(open_files::idle_connections());
        Ok(Self { inner: Arc::new(Inner { connector, pool }) })
    }

    /// One with connections of its own, for another thread: a connection is served by the thread
    /// that opened it. It keeps a quarter as many.
    pub fn for_another_thread(&self) -> Self {
        let pool = Pool::new(open_files::idle_connections() / 4);
        Self { inner: Arc::new(Inner { connector: self.inner.connector.clone(), pool }) }
    }

    /// Sends `request` to `url`, its own URL parsed; `timeout` covers everything from the name
    /// look-up to the last byte of the body.
    pub async fn send(&self, request: &RenderedRequest, url: Url, timeout: Duration) -> Sent {
        self.send_as(request, url, timeout, None).await
    }

    /// The same, showing a client certificate to a destination that asks for one.
    pub async fn send_as(
        &self,
        request: &RenderedRequest,
        url: Url,
        timeout: Duration,
        certificate: Option<&ClientCertificate>,
    ) -> Sent {
        let started = Instant::now();
        let mut heard = Heard::default();
        let exchanging = self.inner.exchange(request, &url, certificate, started, &mut heard);
        let exchange = match tokio::time::timeout(timeout, exchanging).await {
            Ok(Ok(())) => Exchange::Answered {
                status: heard.status,
                location: heard.location,
                retry_after: heard.retry_after,
            },
            Ok(Err(failure)) => failure.into_exchange(heard.status),
            Err(_) => late(heard.timings.phase, heard.status, timeout).into_exchange(0),
        };
        Sent {
            exchange,
            response_headers: heard.headers,
            response_body: heard.body.into_text(),
            timings: heard.timings,
            total_us: micros(started.elapsed()),
        }
    }
}

impl Inner {
    async fn exchange(
        &self,
        request: &RenderedRequest,
        url: &Url,
        certificate: Option<&ClientCertificate>,
        started: Instant,
        heard: &mut Heard,
    ) -> Result<(), Failure> {
        self.connector.vet(url)?;
        let destination = Arc::new(Destination::of(url, certificate.map(|shown| shown.fingerprint)));
        let prepared = Prepared::new(request, url, &destination)?;
        let (mut connection, response) = loop {
            let (mut connection, is_reused) = match self.pool.take(&destination) {
                Some(connection) => (self.in_use(&destination, connection), true),
                None => {
                    let opened = self.open(url, &destination, certificate, &mut heard.timings).await?;
                    (self.in_use(&destination, opened), false)
                }
            };
            heard.timings.phase = Phase::Answer;
            heard.timings.peer = Some(connection.get().peer.ip());
            heard.timings.version = Some(connection.get().version());
            let request = prepared.write(connection.get().version())?;
            match connection.get().send(request).await {
                Ok(response) => break (connection, response),
                // The destination closed it while it waited: this is no repetition.
                Err(failed) if failed.is_unsent && is_reused => {}
                Err(failed) => return Err(Failure::of_hyper(&failed.error)),
            }
        };
        heard.timings.first_byte_us = micros(started.elapsed());
        let (head, mut incoming) = response.into_parts();
        heard.status = head.status.as_u16();
        let header = |name: HeaderName| {
            let text = String::from_utf8_lossy(head.headers.get(name)?.as_bytes()).into_owned();
            Some(text.chars().take(KEPT_HEADER_CHARS).collect())
        };
        heard.location = header(LOCATION);
        heard.retry_after = header(RETRY_AFTER);
        heard.body = Body::of(&head.headers);
        heard.headers = head.headers;
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| Failure::of_hyper(&error))?;
            if frame.data_ref().is_some_and(|chunk| !heard.body.push(chunk)) {
                // The connection is closed: reading on could take for ever.
                connection.finish_stream_only();
                return Ok(());
            }
        }
        connection.give_back();
        Ok(())
    }

    async fn open(
        &self,
        url: &Url,
        destination: &Arc<Destination>,
        certificate: Option<&ClientCertificate>,
        timings: &mut Timings,
    ) -> Result<Connection, Failure> {
        let mut opened = self.connector.open(url, destination, certificate, timings).await;
        // For want of file descriptors, those that wait give way.
        if matches!(opened, Err(Failure::Broken { kind: ErrorKind::Internal, .. })) && self.pool.clear() {
            opened = self.connector.open(url, destination, certificate, timings).await;
        }
        let opened = opened?;
        if let Some(shared) = opened.share() {
            self.pool.put(destination, shared);
        }
        Ok(opened)
    }

    fn in_use<'a>(&'a self, destination: &'a Arc<Destination>, connection: Connection) -> InUse<'a> {
        InUse { pool: &self.pool, destination, connection: Some(connection) }
    }
}

/// A connection with a request on it. Dropped before its answer was read, it is not used again:
/// of HTTP/1.1 it is closed, of HTTP/2 no new request gets it.
struct InUse<'a> {
    pool: &'a Pool,
    destination: &'a Arc<Destination>,
    connection: Option<Connection>,
}

impl InUse<'_> {
    fn get(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until it is given back")
    }

    fn give_back(mut self) {
        if let Some(connection) = self.connection.take()
            && connection.version() != Version::HTTP_2
        {
            self.pool.put(self.destination, connection);
        }
    }

    /// Not read to its end: costs an HTTP/2 connection one stream, and HTTP/1.1 all.
    fn finish_stream_only(&mut self) {
        self.connection = None;
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.forget(self.destination, &connection);
        }
    }
}

/// What has been heard so far, also where the exchange breaks later.
#[derive(Default)]
struct Heard {
    status: u16,
    location: Option<String>,
    retry_after: Option<String>,
    headers: HeaderMap,
    body: Body,
    timings: Timings,
}

fn late(phase: Phase, status: u16, timeout: Duration) -> Failure {
    let limit = format!("within {} ms", timeout.as_millis());
    let message = match (phase, status) {
        (Phase::LookUp, _) => format!("the name was not looked up {limit}"),
        (Phase::Connect, _) => format!("no connection {limit}"),
        (Phase::Tls, _) => format!("no TLS handshake {limit}"),
        (Phase::Answer, 0) => format!("no answer {limit}"),
        (Phase::Answer, status) => format!("answered {status}, but not to the end {limit}"),
    };
    Failure::broken(ErrorKind::Timeout, message)
}

#[cfg(test)]
#[path = "http_sender_tests.rs"]
mod tests;
