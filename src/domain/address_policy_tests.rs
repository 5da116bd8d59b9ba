use proptest::prelude::*;

use super::*;
use crate::domain::access::allowlist::parse_networks;

fn allowing(networks: &str) -> Policy {
    Policy { allowed_networks: Allowlist::new(parse_networks(networks).unwrap()), ..Policy::default() }
}

fn class(address: &str) -> Option<AddressClass> {
    class_of(address.parse().unwrap(), &Policy::default())
}

#[test]
fn every_special_address_has_its_class() {
    use AddressClass::*;
    for (address, expected) in [
        ("0.0.0.0", Unspecified),
        ("0.1.2.3", Unspecified),
        ("10.0.0.1", Private),
        ("172.16.0.1", Private),
        ("172.31.255.255", Private),
        ("192.168.1.1", Private),
        ("100.64.0.1", SharedCarrier),
        ("100.127.255.255", SharedCarrier),
        ("100.100.100.200", Metadata),
        ("127.0.0.1", Loopback),
        ("127.255.255.254", Loopback),
        ("169.254.0.1", LinkLocal),
        ("169.254.169.254", Metadata),
        ("169.254.170.2", Metadata),
        ("168.63.129.16", Metadata),
        ("192.0.0.1", Reserved),
        ("192.0.0.192", Metadata),
        ("192.0.2.1", Documentation),
        ("198.51.100.1", Documentation),
        ("203.0.113.1", Documentation),
        ("192.88.99.1", Reserved),
        ("198.18.0.1", Benchmarking),
        ("198.19.255.255", Benchmarking),
        ("224.0.0.1", Multicast),
        ("239.255.255.255", Multicast),
        ("240.0.0.1", Reserved),
        ("255.255.255.255", Broadcast),
        ("::", Unspecified),
        ("::1", Loopback),
        ("::ffff:127.0.0.1", Loopback),
        ("::ffff:10.0.0.1", Private),
        ("::ffff:169.254.169.254", Metadata),
        ("::127.0.0.1", Ipv4Compatible),
        ("::8.8.8.8", Ipv4Compatible),
        ("::ffff:0:127.0.0.1", Reserved),
        ("64:ff9b::127.0.0.1", Loopback),
        ("64:ff9b::10.1.2.3", Private),
        ("64:ff9b::169.254.169.254", Metadata),
        ("64:ff9b:1::8.8.8.8", Nat64Local),
        ("64:ff9b:1:ffff::1", Nat64Local),
        ("64:ff9b:2::1", Reserved),
        ("100::1", Reserved),
        ("2001::1", Teredo),
        ("2001:0:0808:0808::f7f7:f7f7", Teredo),
        ("2001:2::1", Benchmarking),
        ("2001:10::1", Reserved),
        ("2001:20::1", Reserved),
        ("2001:db8::1", Documentation),
        ("3fff::1", Documentation),
        ("2002:7f00:1::", SixToFour),
        ("2002:808:808::1", SixToFour),
        ("2a00:1450::200:5efe:10.0.0.1", Isatap),
        ("2a00:1450::5efe:8.8.8.8", Isatap),
        ("fc00::1", UniqueLocal),
        ("fd12:3456::1", UniqueLocal),
        ("fd00:ec2::254", Metadata),
        ("fd20:ce::254", Metadata),
        ("fe80::1", LinkLocal),
        ("febf::1", LinkLocal),
        ("fec0::1", SiteLocal),
        ("ff02::1", Multicast),
        ("4000::1", Reserved),
        ("5f00::1", Reserved),
    ] {
        assert_eq!(class(address), Some(expected), "{address}");
    }
}

#[test]
fn public_addresses_are_called() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450:4001::200e",
        "3ffe::1",
    ] {
        assert_eq!(class(address), None, "{address}");
    }
}

/// A URL however it is written, and what is refused of it.
#[test]
fn no_spelling_of_a_url_gets_through() {
    for (url, expected) in [
        ("http://127.0.0.1/", "127.0.0.1 is a loopback address"),
        ("http://127.1/", "127.0.0.1 is a loopback address"),
        ("http://2130706433/", "127.0.0.1 is a loopback address"),
        ("http://0x7f000001/", "127.0.0.1 is a loopback address"),
        ("http://0x7f.0.0.1/", "127.0.0.1 is a loopback address"),
        ("http://0177.0.0.1/", "127.0.0.1 is a loopback address"),
        ("http://017700000001/", "127.0.0.1 is a loopback address"),
        ("http://127.0.0.1./", "127.0.0.1 is a loopback address"),
        ("http://%31%32%37.0.0.1/", "127.0.0.1 is a loopback address"),
        ("http://①②⑦.⓪.⓪.①/", "127.0.0.1 is a loopback address"),
        ("http://127。0。0。1/", "127.0.0.1 is a loopback address"),
        ("http:\\\\127.0.0.1\\p", "127.0.0.1 is a loopback address"),
        ("http:127.0.0.1/", "127.0.0.1 is a loopback address"),
        ("http://0/", "0.0.0.0 is an unspecified address"),
        ("http://[::]/", ":: is an unspecified address"),
        ("http://[::1]/", "::1 is a loopback address"),
        ("http://[0:0:0:0:0:0:0:1]/", "::1 is a loopback address"),
        ("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1 is a loopback address"),
        ("http://[::ffff:169.254.169.254]/", "::ffff:169.254.169.254 is a cloud's metadata service"),
        ("http://[64:ff9b::a9fe:a9fe]/", "64:ff9b::a9fe:a9fe is a cloud's metadata service"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254 is a cloud's metadata service"),
        ("http://[fd00:ec2::254]/", "fd00:ec2::254 is a cloud's metadata service"),
        ("http://localhost/", "localhost is this machine itself"),
        ("http://LOCALHOST./", "localhost. is this machine itself"),
        ("http://a.localhost/", "a.localhost is this machine itself"),
        ("http://ⓛocalhost/", "localhost is this machine itself"),
        ("http://user@tracker.example/", "the URL holds a user name"),
        ("http://:secret@tracker.example/", "the URL holds a user name"),
        ("http://tracker.example@127.0.0.1/", "the URL holds a user name"),
        ("http://tracker.example:22/", "port 22 is not called"),
        ("http://tracker.example:25/", "port 25 is not called"),
        ("http://tracker.example:6379/", "port 6379 is not called"),
        ("http://tracker.example:0/", "port 0 is not called"),
        ("ftp://tracker.example/", "the URL must start with http:// or https://, not with ftp:"),
        ("file:///etc/passwd", "the URL must start with http:// or https://, not with file:"),
        ("gopher://127.0.0.1:6379/_x", "the URL must start with http:// or https://, not with gopher:"),
        ("http://./", "the URL names no host"),
    ] {
        let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let refusal = vet_url(&parsed, &Policy::default()).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{url}: {refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
    for url in [
        "http://tracker.example/",
        "https://tracker.example.:8443/p",
        "https://8.8.8.8/",
        "http://bücher.example",
    ] {
        assert_eq!(vet_url(&Url::parse(url).unwrap(), &Policy::default()), Ok(()), "{url}");
    }
}

#[test]
fn a_network_that_is_allowed_is_called_however_it_is_written() {
    let policy = allowing("10.1.0.0/16, 127.0.0.0/8, ::1");
    for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "127.0.0.1", "::1"] {
        assert_eq!(vet(address.parse().unwrap(), &policy), Ok(()), "{address}");
    }
    for address in ["10.2.0.1", "::ffff:10.2.0.1", "2002:a01:203::1", "::10.1.2.3"] {
        assert!(vet(address.parse().unwrap(), &policy).is_err(), "{address}");
    }
    assert_eq!(vet_url(&Url::parse("http://localhost:8080/").unwrap(), &policy), Ok(()));
}

#[test]
fn an_address_inside_another_is_judged_for_itself() {
    let policy = allowing("2002::/16, 2001::/32, 64:ff9b:1::/48");
    assert_eq!(vet("2002:808:808::1".parse().unwrap(), &policy), Ok(()));
    assert_eq!(vet("2001:0:808:808:0:0:f7f7:f7f7".parse().unwrap(), &policy), Ok(()));
    for inside in [
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1:0:0:f7f7:f7f7",
        "2001:0:808:808:0:0:80ff:fffe",
        "64:ff9b:1::10.0.0.1",
    ] {
        assert!(vet(inside.parse().unwrap(), &policy).is_err(), "{inside}");
    }
}

#[test]
fn a_wide_network_does_not_open_the_metadata_service() {
    let metadata = "169.254.169.254".parse().unwrap();
    assert!(vet(metadata, &allowing("0.0.0.0/0,::/0")).is_err());
    assert!(vet(metadata, &allowing("169.254.0.0/16")).is_err());
    assert_eq!(vet(metadata, &allowing("169.254.169.254")), Ok(()));
}

#[test]
fn one_address_that_may_not_be_called_spoils_the_name() {
    let addresses = ["8.8.8.8", "10.0.0.1"].map(|address| address.parse().unwrap());
    assert_eq!(vet_resolved("t.example", &addresses[..1], &Policy::default()), Ok(()));
    let refusal = vet_resolved("t.example", &addresses, &Policy::default()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "t.example is 10.0.0.1, a private address, which is not called; an owner can allow it by \
         RICOCHET_OUTBOUND_ALLOWED_NETWORKS"
    );
}

#[test]
fn ports_are_read_and_ranges_spare_other_protocols() {
    let ports = Ports::parse("80, 443,1024-65535").unwrap();
    assert_eq!(ports, Ports::default());
    assert!(ports.allow(8080) && ports.allow(65_535) && !ports.allow(22) && !ports.allow(5432));
    assert!(Ports::parse("5432").unwrap().allow(5432));
    for wrong in ["", ",", "x", "0", "70000", "9-8", "1-2-3"] {
        assert_eq!(Ports::parse(wrong), Err(NotPorts), "{wrong}");
    }
}

proptest! {
    /// Whatever carries an IPv4 address that may not be called may not be called itself.
    #[test]
    fn no_disguise_helps(octets: [u8; 4], networks: bool) {
        let v4 = Ipv4Addr::from(octets);
        let policy = if networks { allowing("10.0.0.0/8,2000::/3,64:ff9b:1::/48,::/96") } else { Policy::default() };
        let [a, b, c, d] = octets;
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let is_open = vet(v4.into(), &policy).is_ok();
        prop_assert_eq!(vet(v4.to_ipv6_mapped().into(), &policy).is_ok(), is_open);
        prop_assert_eq!(vet(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into(), &policy).is_ok(), is_open);
        if !is_open {
            for disguised in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !high, !low),
                Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0xf7f7, 0xf7f7),
                Ipv6Addr::new(0x2a00, 1, 2, 3, 0, 0x5efe, high, low),
            ] {
                // `::` and `::1` are looked at as themselves, and are in no network allowed here but ::/96.
                if u128::from(disguised) > 1 {
                    prop_assert!(vet(disguised.into(), &policy).is_err(), "{}", disguised);
                }
            }
        }
    }

    /// Without a word from the owner, IPv6 outside 2000::/3 leads nowhere but by NAT64.
    #[test]
    fn only_what_is_given_out_is_called(bits: u128) {
        let address = Ipv6Addr::from(bits);
        if vet(address.into(), &Policy::default()).is_ok() {
            let segments = address.segments();
            prop_assert!(
                segments[0] & 0xe000 == 0x2000
                    || segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
                    || address.to_ipv4_mapped().is_some()
            );
        }
    }

    #[test]
    fn no_text_of_ports_panics(text in "[0-9,\\- ]{0,20}") {
        if let Ok(ports) = Ports::parse(&text) {
            prop_assert!(!ports.allow(0));
        }
    }
}
