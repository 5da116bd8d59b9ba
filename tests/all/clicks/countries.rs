//! Where visitors come from.

use std::fs;
use std::process::Command;

use crate::support::eventually;
use crate::support::mmdb::country_database;
use crate::support::server::Server;
use crate::support::world::World;
use ricochet::doors::country::Countries;

#[test]
fn a_database_is_looked_up_and_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("country.mmdb");
    fs::write(&path, country_database(&[("203.0.113.0", 24, "DE"), ("2001:db8::", 32, "FR")])).unwrap();
    let countries = Countries::open(None, Some(path.clone())).unwrap();
    let country = |address: &str| countries.of(address.parse().ok(), None);
    assert_eq!(country("203.0.113.77"), "DE");
    assert_eq!(country("2001:db8:1::1"), "FR");
    assert_eq!((country("203.0.114.1").as_str(), country("::1").as_str()), ("", ""));
    assert_eq!(countries.of("203.0.113.77".parse().ok(), Some("it")), "IT", "the proxy knows better");
    assert_eq!(countries.of("203.0.113.77".parse().ok(), Some("XX")), "DE", "unless it does not know");

    assert!(!countries.refresh().unwrap(), "nothing has changed");
    // Written over by half: what was read stays.
    fs::write(&path, &country_database(&[("203.0.113.0", 24, "NL")])[..100]).unwrap();
    assert!(countries.refresh().is_err());
    assert_eq!(country("203.0.113.77"), "DE");
    // Replaced, as updaters do.
    let new = directory.path().join("new");
    fs::write(&new, country_database(&[("203.0.113.0", 24, "NL")])).unwrap();
    fs::rename(&new, &path).unwrap();
    assert!(countries.refresh().unwrap());
    assert_eq!((country("203.0.113.77").as_str(), country("2001:db8:1::1").as_str()), ("NL", ""));
}

#[tokio::test]
async fn the_proxys_word_counts_only_from_a_trusted_proxy() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("country.mmdb");
    fs::write(&path, country_database(&[("127.0.0.0", 8, "NL")])).unwrap();
    let geo = ("RICOCHET_GEO_DATABASE", path.to_str().unwrap());
    let header = ("RICOCHET_COUNTRY_HEADER", "CF-IPCountry");
    for (proxies, expected) in [("127.0.0.0/8", "SE"), ("10.0.0.0/8,::1/128", "NL")] {
        let settings = [geo, header, ("RICOCHET_TRUSTED_PROXIES", proxies)];
        let server = Server::start_with(&world.databases, &settings).await;
        let url = server.url(&format!("/click/{}", world.fixed.1));
        let answer = world.client.get(url).header("cf-ipcountry", "se").send().await.unwrap();
        assert_eq!(answer.status(), 302);
        assert_eq!(
            world.count(&format!("SELECT count(*) FROM clicks WHERE country = '{expected}'")).await,
            1
        );
    }
    // Running, the server notices a new file by itself.
    let server = Server::start_with(&world.databases, &[geo]).await;
    fs::write(&path, country_database(&[("127.0.0.0", 8, "PL")])).unwrap();
    eventually("the new database is in use", || async {
        world.click(&server, world.fixed.1).await;
        (world.count("SELECT count(*) FROM clicks WHERE country = 'PL'").await > 0).then_some(())
    })
    .await;
}

#[test]
fn a_database_that_is_none_stops_the_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_ricochet"))
        .arg("serve")
        .env_clear()
        .envs([("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("CLICKHOUSE_URL", "http://127.0.0.1:1/x")])
        .env("RICOCHET_GEO_DATABASE", "/nowhere/country.mmdb")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(told.contains("RICOCHET_GEO_DATABASE") && told.contains("/nowhere/country.mmdb"), "{told}");
}
