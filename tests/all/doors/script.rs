//! The click script: how it is served, and what it does in an engine.

use std::process::Command;

use crate::support::server::Server;
use crate::support::world::World;

#[tokio::test]
async fn the_script_is_cached_and_its_versions_for_ever() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let get =
        |path: &str, known: &str| world.client.get(server.url(path)).header("if-none-match", known).send();
    let latest = get("/ricochet.js", "").await.unwrap();
    assert_eq!(latest.status(), 200);
    assert_eq!(latest.headers()["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(latest.headers()["cache-control"], "public, max-age=3600");
    let etag = latest.headers()["etag"].to_str().unwrap().to_owned();
    let script = latest.text().await.unwrap();
    assert!(script.len() < 4_096);
    for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".into()] {
        let unchanged = get("/ricochet.js", &known).await.unwrap();
        assert_eq!(
            (unchanged.status().as_u16(), unchanged.headers()["etag"].to_str().unwrap()),
            (304, &*etag)
        );
    }
    let versioned = get(&format!("/js/ricochet-{}.js", etag.trim_matches('"')), "").await.unwrap();
    assert_eq!(versioned.headers()["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(versioned.text().await.unwrap(), script);
    let former = get("/js/ricochet-0123456789abcdef.js", "").await.unwrap();
    assert_eq!(
        (former.status().as_u16(), &former.headers()["location"]),
        (302, &"/ricochet.js".parse().unwrap())
    );
}

#[test]
fn the_script_keeps_the_click_id_and_fills_forms() {
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("not run: there is no node on this machine");
        return;
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("node")
        .arg(format!("{root}/tests/all/doors/click_script.js"))
        .arg(format!("{root}/src/doors/click_script/ricochet.js"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("all good"), "{told}");
}

/// The PHP of the page as it stands, on a visit with a click id and with the cookie of one.
#[tokio::test]
async fn the_documented_php_keeps_the_click_and_reports() {
    let modules = Command::new("php").arg("-m").output();
    if !modules.is_ok_and(|modules| String::from_utf8_lossy(&modules.stdout).contains("curl")) {
        eprintln!("not run: there is no PHP with curl on this machine");
        return;
    }
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let page = include_str!("../../../docs/doors/click-script.md");
    let (_, code) = page.split_once("```php\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    for (number, place) in ["_GET['click_id']", "_COOKIE['ricochet_click_id']"].into_iter().enumerate() {
        let click = world.click(&server, world.percent.1).await;
        let code = code.replacen("<?php", &format!("${place} = getenv('CLICK');"), 1);
        let report = "reportConversion(getenv('BASE'), getenv('KEY'), getenv('ORDER'), '9.50');";
        let mut php = Command::new("php");
        php.arg("-r").arg(format!("{code}\n{report}")).env("no_proxy", "127.0.0.1");
        php.env("CLICK", &click).env("BASE", server.url("")).env("KEY", &world.api_key);
        php.env("ORDER", format!("order-{number}"));
        let output = tokio::task::spawn_blocking(move || php.output().unwrap()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        let of_click =
            format!("SELECT count(*) FROM conversions WHERE click_id = '{click}' AND status = 'hold'");
        assert_eq!(world.count(&of_click).await, 1, "{told}");
    }
}
