use super::*;

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let needed = [("DATABASE_URL", "postgres://localhost/x"), ("CLICKHOUSE_URL", "http://localhost:8123/x")];
    needed.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn defaults_hold_where_nothing_is_said() {
    let settings = Settings::from_values(values(&[])).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.lanes, 1);
}

#[test]
fn a_wrong_value_is_refused_with_its_variable() {
    let refused =
        |name: &str, value: &str| Settings::from_values(values(&[(name, value)])).unwrap_err().to_string();
    assert_eq!(
        refused("RICOCHET_LISTEN", "8080"),
        "RICOCHET_LISTEN is \"8080\", which is not an address and port such as 127.0.0.1:8080"
    );
    assert_eq!(
        refused("RICOCHET_LANES", "0"),
        "RICOCHET_LANES is \"0\", which is not a whole number from 1 to 64"
    );
    assert_eq!(
        refused("RICOCHET_LISTENN", "x"),
        "RICOCHET_LISTENN is no setting; docs/configuration.md lists them all; did you mean RICOCHET_LISTEN?"
    );
    assert_eq!(
        refused("RICOCHET_COUNTRY_HEADER", "CF IPCountry"),
        "RICOCHET_COUNTRY_HEADER is \"CF IPCountry\", which is not the name of a header"
    );
    assert_eq!(
        refused("RICOCHET_TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
        "RICOCHET_TRUSTED_PROXIES is \"10.0.0.0/8,proxy\", which is not a list of networks such as \
         10.0.0.0/8,2001:db8::/32"
    );
    assert_eq!(
        refused("RICOCHET_OUTBOUND_NAME_SERVERS", "10.0.0.53,dns.example"),
        "RICOCHET_OUTBOUND_NAME_SERVERS is \"10.0.0.53,dns.example\", which is not a list of addresses such as \
         10.0.0.53 or 127.0.0.1:5353"
    );
    assert!(!refused("RICOCHET_MASTER_KEY", "c2VjcmV0").contains("c2V"));
    assert!(!refused("CLICKHOUSE_URL", "tcp://user:secret@host").contains("secret"));
}

#[test]
fn what_must_be_given_is_named() {
    let error = Settings::from_values(BTreeMap::new()).unwrap_err().to_string();
    assert!(error.starts_with("DATABASE_URL is not set: PostgreSQL"), "{error}");
}

#[test]
fn the_documented_table_is_the_real_one() {
    let documented = include_str!("../../docs/configuration.md");
    assert!(
        documented.contains(&markdown_table()),
        "put this into docs/configuration.md:\n{}",
        markdown_table()
    );
}
