//! Where postbacks may go: which addresses, which ports, which URLs.
//!
//! A URL is written by a partner and the request is made from inside the network of whoever
//! runs Ricochet. So only public addresses are called, unless the owner allows a network by
//! [`ALLOWED_NETWORKS`]. Names are not judged: what counts is every address they resolve to.
//!
//! An address that carries another one inside (NAT64, 6to4, Teredo, ISATAP) is judged by both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::access::allowlist::Allowlist;

/// The setting that allows networks which are not public.
pub const ALLOWED_NETWORKS: &str = "RICOCHET_OUTBOUND_ALLOWED_NETWORKS";
/// The setting that names the ports.
pub const PORTS: &str = "RICOCHET_OUTBOUND_PORTS";

/// What an owner allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Networks that may be called although they are not public.
    pub allowed_networks: Allowlist,
    pub ports: Ports,
}

/// Kinds of addresses that are not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    Unspecified,
    Loopback,
    Private,
    SharedCarrier,
    LinkLocal,
    SiteLocal,
    UniqueLocal,
    Metadata,
    Multicast,
    Broadcast,
    Benchmarking,
    Documentation,
    Nat64Local,
    SixToFour,
    Teredo,
    Isatap,
    Ipv4Compatible,
    Reserved,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::SharedCarrier => "a carrier's shared address (100.64.0.0/10)",
            Self::LinkLocal => "a link-local address",
            Self::SiteLocal => "a site-local address",
            Self::UniqueLocal => "a unique local address",
            Self::Metadata => "a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Benchmarking => "an address for benchmarks",
            Self::Documentation => "an address for documentation",
            Self::Nat64Local => "a local NAT64 address",
            Self::SixToFour => "a 6to4 address",
            Self::Teredo => "a Teredo address",
            Self::Isatap => "an ISATAP address",
            Self::Ipv4Compatible => "an IPv4-compatible IPv6 address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Why an address, a port or a whole URL is not called. Says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{address} is {class}, which is not called; an owner can allow it by {ALLOWED_NETWORKS}")]
    Address { address: IpAddr, class: AddressClass },
    #[error("{host} is {address}, {class}, which is not called; an owner can allow it by {ALLOWED_NETWORKS}")]
    Resolved { host: String, address: IpAddr, class: AddressClass },
    #[error(
        "{0} is this machine itself, which is not called; an owner can allow 127.0.0.0/8 and ::1 by {ALLOWED_NETWORKS}"
    )]
    Localhost(String),
    #[error("port {0} is not called; an owner can allow it by {PORTS}")]
    Port(u16),
    #[error("the URL must start with http:// or https://, not with {0}:")]
    Scheme(String),
    #[error("the URL names no host")]
    NoHost,
    #[error(
        "the URL holds a user name or password before its host; take it out, and send it in a header if the tracker needs it"
    )]
    UserInfo,
}

/// Whether `address` may be called.
///
/// # Errors
/// With the kind of address it is, where it is not public and not allowed.
pub fn vet(address: IpAddr, policy: &Policy) -> Result<(), Refusal> {
    let refused = |class| Refusal::Address { address, class };
    match class_of(address, policy) {
        None => Ok(()),
        Some(class) => Err(refused(class)),
    }
}

/// Judges what can be judged of a URL before its name is looked up: scheme, user, port, and the
/// address where it is written out.
pub fn vet_url(url: &Url, policy: &Policy) -> Result<(), Refusal> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refusal::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::UserInfo);
    }
    let port = url.port_or_known_default().unwrap_or_default();
    match url.host() {
        None => return Err(Refusal::NoHost),
        Some(Host::Ipv4(address)) => vet(address.into(), policy)?,
        Some(Host::Ipv6(address)) => vet(address.into(), policy)?,
        Some(Host::Domain(name)) => {
            let plain = name.strip_suffix('.').unwrap_or(name);
            if plain.is_empty() {
                return Err(Refusal::NoHost);
            }
            let is_local = plain == "localhost" || plain.ends_with(".localhost");
            if is_local && vet(Ipv4Addr::LOCALHOST.into(), policy).is_err() {
                return Err(Refusal::Localhost(name.to_owned()));
            }
        }
    }
    if policy.ports.allow(port) { Ok(()) } else { Err(Refusal::Port(port)) }
}

/// Judges all addresses `host` resolved to: one that may not be called spoils them all, since
/// whoever answers both kinds is not to be trusted with the choice.
pub fn vet_resolved(host: &str, addresses: &[IpAddr], policy: &Policy) -> Result<(), Refusal> {
    for address in addresses {
        if let Some(class) = class_of(*address, policy) {
            return Err(Refusal::Resolved { host: host.to_owned(), address: *address, class });
        }
    }
    Ok(())
}

fn class_of(address: IpAddr, policy: &Policy) -> Option<AddressClass> {
    let address = address.to_canonical();
    let class = match address {
        IpAddr::V4(v4) => class_of_v4(v4),
        IpAddr::V6(v6) => class_of_v6(v6),
    };
    let own = class.filter(|class| !is_allowed(address, *class, policy));
    let inner = || match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded(v6).find_map(|inner| class_of(inner.into(), policy)),
    };
    own.or_else(inner)
}

/// A metadata service hands out the machine's own rights: a wide network does not allow it, only
/// its address alone does.
fn is_allowed(address: IpAddr, class: AddressClass, policy: &Policy) -> bool {
    match class {
        AddressClass::Metadata => policy.allowed_networks.networks().contains(&IpNet::from(address)),
        _ => policy.allowed_networks.contains(address),
    }
}

/// After IANA's registry of special-purpose IPv4 addresses.
fn class_of_v4(address: Ipv4Addr) -> Option<AddressClass> {
    let class = match address.octets() {
        // EC2 and its likes; ECS; Alibaba; Oracle; Azure's, which is public by its number.
        [169, 254, 169, 254] | [169, 254, 170, 2] | [169, 254, 170, 23] => AddressClass::Metadata,
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => AddressClass::Metadata,
        [0, ..] => AddressClass::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressClass::Private,
        [100, 64..=127, ..] => AddressClass::SharedCarrier,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressClass::Documentation,
        [198, 18..=19, ..] => AddressClass::Benchmarking,
        // IETF protocols; AS112; AMT; 6to4 relays; AS112 once more.
        [192, 0, 0, _] | [192, 31, 196, _] | [192, 52, 193, _] | [192, 88, 99, _] | [192, 175, 48, _] => {
            AddressClass::Reserved
        }
        [224..=239, ..] => AddressClass::Multicast,
        [255, 255, 255, 255] => AddressClass::Broadcast,
        [240..=255, ..] => AddressClass::Reserved,
        _ => return None,
    };
    Some(class)
}

/// After IANA's registry of special-purpose IPv6 addresses: of all there are, 2000::/3 is given
/// out, and the well-known NAT64 prefix leads to IPv4.
fn class_of_v6(address: Ipv6Addr) -> Option<AddressClass> {
    let class = match address.segments() {
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => {
            AddressClass::Metadata
        }
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        [0, 0, 0, 0, 0, 0, ..] => AddressClass::Ipv4Compatible,
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => return None,
        [0x64, 0xff9b, 1, ..] => AddressClass::Nat64Local,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xfec0..=0xfeff, ..] => AddressClass::SiteLocal,
        [0xfc00..=0xfdff, ..] => AddressClass::UniqueLocal,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        [0x2001, 0, ..] => AddressClass::Teredo,
        [0x2001, 2, 0, ..] => AddressClass::Benchmarking,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Documentation,
        // IETF protocols.
        [0x2001, 1..=0x1ff, ..] => AddressClass::Reserved,
        [0x2002, ..] => AddressClass::SixToFour,
        // Its interface is made of an IPv4 address (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => AddressClass::Isatap,
        [0x2000..=0x3fff, ..] => return None,
        _ => AddressClass::Reserved,
    };
    Some(class)
}

/// The IPv4 addresses a packet to this one may end at.
fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let pair = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let [first, second] = match address.segments() {
        // `::` and `::1` are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            [Some(pair(high, low)), None]
        }
        // Local prefixes are of 96 bits in practice, though RFC 6052 knows shorter ones.
        [0x64, 0xff9b, 1, .., high, low] => [Some(pair(high, low)), None],
        [0x2002, high, low, ..] => [Some(pair(high, low)), None],
        // Its server, and its client with all bits turned over (RFC 4380).
        [0x2001, 0, server_high, server_low, _, _, client_high, client_low] => {
            [Some(pair(server_high, server_low)), Some(pair(!client_high, !client_low))]
        }
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => [Some(pair(high, low)), None],
        _ => [None, None],
    };
    [first, second].into_iter().flatten()
}

/// Which ports are called. A port on the list of other protocols' needs to be named by itself:
/// no range includes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

/// Ports of protocols that take harm from a request of HTTP, or that should not be reachable at
/// all: the ones browsers refuse, and those of databases, caches and cluster managers.
const OTHER_PROTOCOLS: &[u16] = &[
    1433, 1521, 1719, 1720, 1723, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060,
    5061, 5432, 5672, 5900, 5984, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092,
    9200, 9300, 10080, 10250, 11211, 27017,
];

/// The text is no list of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPorts;

impl Ports {
    /// Reads ports and ranges separated by commas, such as `80,443,1024-65535`.
    pub fn parse(text: &str) -> Result<Self, NotPorts> {
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or(NotPorts);
        let ranges: Vec<(u16, u16)> = text
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(|part| {
                let (low, high) = part.split_once('-').unwrap_or((part, part));
                let (low, high) = (number(low)?, number(high)?);
                if low <= high { Ok((low, high)) } else { Err(NotPorts) }
            })
            .collect::<Result<_, _>>()?;
        if ranges.is_empty() { Err(NotPorts) } else { Ok(Self(ranges)) }
    }

    pub fn allow(&self, port: u16) -> bool {
        let is_named = self.0.contains(&(port, port));
        let is_in_range = self.0.iter().any(|(low, high)| (*low..=*high).contains(&port));
        is_named || is_in_range && !OTHER_PROTOCOLS.contains(&port)
    }
}

impl Default for Ports {
    /// The two of the web, and whatever a tracker may have been given besides.
    fn default() -> Self {
        Self(vec![(80, 80), (443, 443), (1024, u16::MAX)])
    }
}

impl Default for Policy {
    /// Public addresses only.
    fn default() -> Self {
        Self { allowed_networks: Allowlist::nowhere(), ports: Ports::default() }
    }
}

#[cfg(test)]
#[path = "address_policy_tests.rs"]
mod tests;
