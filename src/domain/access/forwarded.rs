//! Where a request really came from, when proxies stand between.

use std::net::{IpAddr, SocketAddr};

use super::allowlist::Allowlist;

/// The source of a request. `X-Forwarded-For` is read only from a peer that is one of our own
/// proxies, and from its right end: each proxy appends the address it was called from, so what
/// stands left of the first address that is not ours was written by a stranger and is ignored.
///
/// `forwarded_for` are the header's lines in the order they came, which are one list.
pub fn source<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &Allowlist,
) -> IpAddr {
    let mut source = peer.to_canonical();
    let hops = forwarded_for.rev().flat_map(|line| line.rsplit(','));
    for hop in hops {
        if !is_trusted(source, trusted) {
            break;
        }
        // What our own proxy wrote and we cannot read: the proxy is the last we know of.
        let Some(address) = parse_hop(hop) else { break };
        source = address;
    }
    source
}

/// Whether the address is one of our own proxies. Unlike an allowlist, no list trusts nobody.
pub fn is_trusted(address: IpAddr, trusted: &Allowlist) -> bool {
    trusted.contains(address)
}

/// An address, with a port where the proxy writes one, IPv6 in brackets or without.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim().trim_matches('"');
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::allowlist::parse_networks;
    use super::*;

    fn seen(peer: &str, lines: &[&str], trusted: &str) -> String {
        let trusted = Allowlist::new(parse_networks(trusted).unwrap());
        source(peer.parse().unwrap(), lines.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_say_where_it_is() {
        assert_eq!(seen("203.0.113.9", &["10.0.0.1"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &["10.0.0.1"], ""), "203.0.113.9");
        // It wrote 1.1.1.1 itself; the proxy appended its real address.
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "203.0.113.9"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["10.0.0.7, 203.0.113.9"], "10.0.0.0/8"), "203.0.113.9");
    }

    #[test]
    fn our_own_proxies_are_walked_past() {
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(seen("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:4711"], "10.0.0.0/8"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9:80"], "10.0.0.0/8"), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.0/8"), "10.0.0.3");
        assert_eq!(seen("10.0.0.1", &[], "10.0.0.0/8"), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.0/8"), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn what_a_stranger_wrote_changes_nothing(written in "[ -~]{0,60}") {
            let line = format!("{written}, 203.0.113.9");
            prop_assert_eq!(seen("10.0.0.1", &[&line], "10.0.0.0/8"), "203.0.113.9");
            prop_assert_eq!(seen("10.0.0.1", &[&written, "203.0.113.9"], "10.0.0.0/8"), "203.0.113.9");
            prop_assert_eq!(seen("203.0.113.9", &[&written], "10.0.0.0/8"), "203.0.113.9");
        }
    }
}
