//! Opens connections: looks the name up, vets every address, and connects to what was vetted.
//!
//! The addresses that were judged are the ones that are called: nothing looks the name up a
//! second time, so a name that changes its answer between the two gains nothing. `Host` and the
//! name in TLS stay the destination's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Version;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::connection::Connection;
use super::failure::Failure;
use super::proxy::Proxy;
use super::request::Destination;
use super::resolver::Resolve;
use super::timings::{Phase, Timings, micros};
use super::tls::TlsSettings;
use crate::domain::address_policy::{Policy, vet_resolved, vet_url};
use crate::domain::client_certificate::ClientCertificate;
use crate::domain::retry::ErrorKind;

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;
/// How long one address is waited for before the next is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

pub struct Connector {
    pub policy: Policy,
    pub resolver: Arc<dyn Resolve>,
    pub tls: TlsSettings,
    pub proxy: Option<Proxy>,
}

impl Connector {
    /// Judges what can be judged without a look-up; also done where a connection is reused.
    pub fn vet(&self, url: &Url) -> Result<(), Failure> {
        Ok(vet_url(url, &self.policy)?)
    }

    pub async fn open(
        &self,
        url: &Url,
        destination: &Destination,
        certificate: Option<&ClientCertificate>,
        timings: &mut Timings,
    ) -> Result<Connection, Failure> {
        let looking = Instant::now();
        timings.phase = Phase::LookUp;
        let addresses = self.vetted_addresses(url).await?;
        timings.dns_us = match url.host() {
            Some(Host::Domain(_)) => micros(looking.elapsed()),
            _ => 0,
        };

        let connecting = Instant::now();
        timings.phase = Phase::Connect;
        let targets: Vec<SocketAddr> =
            addresses.into_iter().map(|address| SocketAddr::new(address, destination.port)).collect();
        let (stream, peer) = match &self.proxy {
            None => first_connected(&targets).await?,
            Some(proxy) => self.through(proxy, &targets).await?,
        };
        timings.connect_us = micros(connecting.elapsed());
        timings.peer = Some(peer.ip());

        if !destination.is_https() {
            return Connection::open(stream, peer, Version::HTTP_11).await.map_err(|e| Failure::of_hyper(&e));
        }
        let shaking_hands = Instant::now();
        timings.phase = Phase::Tls;
        let settings = self.tls.for_certificate(certificate).map_err(|error| {
            // Its key cannot be decrypted: that can be mended.
            let message = format!("the postback's client certificate cannot be used: {error}");
            Failure::broken(ErrorKind::Internal, message)
        })?;
        let name = destination.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|_| {
            Failure::broken(
                ErrorKind::Tls,
                format!("{} cannot be the name of a TLS server", destination.host),
            )
        })?;
        let stream = TlsConnector::from(settings).connect(name, stream).await;
        let stream = stream.map_err(|error| Failure::tls(&error))?;
        timings.tls_us = micros(shaking_hands.elapsed());
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::HTTP_2,
            _ => Version::HTTP_11,
        };
        Connection::open(stream, peer, version).await.map_err(|error| Failure::of_hyper(&error))
    }

    async fn vetted_addresses(&self, url: &Url) -> Result<Vec<IpAddr>, Failure> {
        let name = match url.host() {
            // Judged already with the URL.
            Some(Host::Ipv4(address)) => return Ok(vec![address.into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![address.into()]),
            Some(Host::Domain(name)) => name,
            None => return Err(Failure::unfit("the URL names no host")),
        };
        let addresses = self.resolver.resolve(name).await?;
        vet_resolved(name, &addresses, &self.policy)?;
        Ok(in_turns(addresses))
    }

    /// The proxy is the owner's own choice, so its addresses are not vetted.
    async fn through(
        &self,
        proxy: &Proxy,
        targets: &[SocketAddr],
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        let addresses = match proxy.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => in_turns(self.resolver.resolve(&proxy.host).await?),
        };
        let proxies: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, proxy.port)).collect();
        let mut last = Failure::broken(ErrorKind::Dns, "the name has no address");
        for target in targets {
            let (mut stream, _) = first_connected(&proxies).await?;
            match proxy.connect(&mut stream, *target).await {
                Ok(()) => return Ok((stream, *target)),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }
}

/// IPv4 and IPv6 in turns, so that a machine without one of them loses one try. IPv4 first: where
/// IPv6 leads nowhere, each connection would wait for it.
fn in_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let longer = v4.len().max(v6.len());
    let turns = (0..longer).flat_map(|turn| [v4.get(turn), v6.get(turn)]);
    turns.flatten().copied().take(MOST_ADDRESSES).collect()
}

/// Tries the addresses one after the other, the next one as soon as one fails or has had its
/// head start; the first to answer is taken.
async fn first_connected(targets: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut trying = FuturesUnordered::new();
    let mut waiting = targets.iter().copied();
    let mut failure = None;
    loop {
        let next = waiting.next();
        if let Some(target) = next {
            trying.push(connect(target));
        }
        let has_more = waiting.len() > 0;
        tokio::select! {
            connected = trying.next() => match connected {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err((target, error))) => failure = Some(Failure::connect(&target.to_string(), &error)),
                None => {
                    let none = || Failure::broken(ErrorKind::Dns, "the name has no address");
                    return Err(failure.unwrap_or_else(none));
                }
            },
            () = tokio::time::sleep(HEAD_START), if has_more => {}
        }
    }
}

async fn connect(target: SocketAddr) -> Result<(TcpStream, SocketAddr), (SocketAddr, io::Error)> {
    let stream = TcpStream::connect(target).await.map_err(|error| (target, error))?;
    // Requests are small and complete: nothing is gained by holding them back.
    stream.set_nodelay(true).map_err(|error| (target, error))?;
    Ok((stream, target))
}
