//! The networks an advertiser's requests may come from.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Empty: from anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist(Vec<IpNet>);

impl Allowlist {
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut networks: Vec<IpNet> = networks.into_iter().map(canonical).collect();
        networks.sort();
        networks.dedup();
        Self(networks)
    }

    /// Whether a request from there may come in. One whose source is unknown may not, where
    /// there is a list.
    pub fn allows(&self, source: Option<IpAddr>) -> bool {
        self.0.is_empty() || source.is_some_and(|source| self.contains(source))
    }

    /// Whether the address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

/// What is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; write an address such as 203.0.113.7, or a network such as 2001:db8::/32")]
pub struct NotANetwork(pub String);

/// Reads a network in CIDR notation, or a single address.
pub fn parse_network(text: &str) -> Result<IpNet, NotANetwork> {
    let text = text.trim();
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(canonical).map_err(|_| NotANetwork(text.to_owned()))
}

/// Reads several, separated by commas.
pub fn parse_networks(text: &str) -> Result<Vec<IpNet>, NotANetwork> {
    text.split(',').filter(|part| !part.trim().is_empty()).map(parse_network).collect()
}

/// Without host bits, and IPv4 as such where it was written as `::ffff:a.b.c.d`.
fn canonical(network: IpNet) -> IpNet {
    let network = network.trunc();
    if let IpNet::V6(v6) = network
        && let Some(v4) = v6.network().to_ipv4_mapped()
        && let Some(bits) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, bits)
    {
        return v4.into();
    }
    network
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Allowlist {
        Allowlist::new(parse_networks(text).unwrap())
    }

    fn allows(list: &Allowlist, source: &str) -> bool {
        list.allows(Some(source.parse().unwrap()))
    }

    #[test]
    fn an_address_is_let_in_by_its_network_however_it_is_written() {
        let list = list("203.0.113.0/25, 2001:db8::/32,::ffff:198.51.100.0/120, 192.0.2.9");
        for inside in ["203.0.113.127", "::ffff:203.0.113.1", "2001:db8:9::1", "198.51.100.255", "192.0.2.9"]
        {
            assert!(allows(&list, inside), "{inside}");
        }
        for outside in ["203.0.113.128", "::ffff:203.0.113.200", "2001:db9::1", "198.51.101.0", "192.0.2.8"] {
            assert!(!allows(&list, outside), "{outside}");
        }
        assert!(!list.allows(None));
        assert!(Allowlist::default().allows(None));
    }

    #[test]
    fn a_network_of_all_ipv4_is_not_one_of_ipv6() {
        assert!(!allows(&list("0.0.0.0/0"), "2001:db8::1"));
        assert!(!allows(&list("::/0"), "203.0.113.1"));
        assert!(allows(&list("::ffff:0:0/96"), "203.0.113.1"));
    }

    #[test]
    fn host_bits_are_dropped_and_nonsense_is_named() {
        assert_eq!(parse_network("203.0.113.77/24").unwrap().to_string(), "203.0.113.0/24");
        let error = parse_network(" 203.0.113.0/33 ").unwrap_err().to_string();
        assert!(error.starts_with("\"203.0.113.0/33\" is no network"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_the_same(text in "[0-9a-f:./]{0,30}") {
            if let Ok(network) = parse_network(&text) {
                prop_assert_eq!(parse_network(&network.to_string()), Ok(network));
            }
        }

        #[test]
        fn mapped_and_plain_ipv4_are_one(address: [u8; 4], network: [u8; 4], bits in 0_u8..=32) {
            let v4 = std::net::Ipv4Addr::from(address);
            let list = Allowlist::new([Ipv4Net::new(network.into(), bits).unwrap().into()]);
            prop_assert_eq!(list.contains(v4.into()), list.contains(v4.to_ipv6_mapped().into()));
        }
    }
}
