//! How long each part of an exchange took.

use std::net::IpAddr;
use std::time::Duration;

use http::Version;

/// Where an exchange stands, for the reason it gives when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    #[default]
    LookUp,
    Connect,
    Tls,
    Answer,
}

/// In microseconds; 0 for what was not needed (a connection was reused) or not reached.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    pub phase: Phase,
    pub dns_us: u64,
    /// With what a proxy took to connect.
    pub connect_us: u64,
    pub tls_us: u64,
    /// From the beginning to the head of the answer.
    pub first_byte_us: u64,
    /// The destination's address; through a proxy, what the proxy was asked for.
    pub peer: Option<IpAddr>,
    pub version: Option<Version>,
}

pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
