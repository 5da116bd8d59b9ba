//! docker-compose.yml and what Grafana is provisioned by, as far as reading them tells: no Docker is
//! needed here, and none is used.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ricochet::config::SETTINGS;
use serde_json::{Map, Value};

use super::dashboards;

const COMPOSE: &str = include_str!("../../../docker-compose.yml");
const EXAMPLE: &str = include_str!("../../../.env.example");
const SOURCES: &str = include_str!("../../../clickhouse/grafana/provisioning/datasources/ricochet.yaml");
const PROVIDERS: &str = include_str!("../../../clickhouse/grafana/provisioning/dashboards/ricochet.yaml");

fn compose() -> Value {
    serde_saphyr::from_str(COMPOSE).unwrap()
}

fn services(compose: &Value) -> &Map<String, Value> {
    compose["services"].as_object().unwrap()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().map(|items| items.iter().map(|item| item.as_str().unwrap()).collect()).unwrap_or_default()
}

/// The names in `${NAME:-default}`.
fn interpolated(text: &str) -> BTreeSet<&str> {
    text.split("${").skip(1).map(|rest| rest.split([':', '}']).next().unwrap()).collect()
}

#[test]
fn every_part_is_there_pinned_and_only_on_loopback() {
    let compose = compose();
    let services = services(&compose);
    let names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    let expected = ["clickhouse", "demo", "demo-postgres", "grafana", "postgres", "prometheus", "ricochet"];
    assert_eq!(names, expected.into());
    for (name, service) in services {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let tag = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag")).1;
        assert_ne!(tag, "latest", "{name}");
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is open to the network: {port}");
        }
        if let Some(needed) = service["depends_on"].as_object() {
            for (other, condition) in needed {
                assert!(names.contains(other.as_str()), "{name} waits for {other}, which is not there");
                let is_awaited = condition["condition"] != "service_healthy";
                assert!(
                    is_awaited || services[other]["healthcheck"].is_object(),
                    "{other} has no health check"
                );
            }
        }
    }
}

#[test]
fn mounts_are_in_the_tree_and_volumes_are_declared() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let compose = compose();
    let declared: BTreeSet<&str> =
        compose["volumes"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    let mut from_tree = BTreeSet::new();
    for (name, service) in services(&compose) {
        for volume in strings(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            if let Some(path) = source.strip_prefix("./") {
                assert!(root.join(path).exists(), "{name} mounts {path}, which is not in the tree");
                assert!(volume.ends_with(":ro"), "{name} may write into the tree: {volume}");
                from_tree.insert(path);
            } else {
                assert!(declared.contains(source), "{name} uses the volume {source}, which is not declared");
                used.insert(source);
            }
        }
    }
    assert_eq!(declared, used, "declared, and used");
    let expected = [
        "clickhouse/grafana/dashboards",
        "clickhouse/grafana/prometheus/alerts.yaml",
        "clickhouse/grafana/prometheus/prometheus.yaml",
        "clickhouse/grafana/provisioning",
        "clickhouse/users/dash.xml",
    ];
    assert_eq!(from_tree, expected.into());
}

#[test]
fn variables_are_settings_and_stand_in_the_example() {
    let compose = compose();
    for name in ["ricochet", "demo"] {
        for variable in services(&compose)[name]["environment"].as_object().unwrap().keys() {
            let is_setting = SETTINGS.iter().any(|setting| setting.variable == variable);
            assert!(is_setting, "{name}: {variable} is no setting");
        }
    }
    let in_example: BTreeSet<&str> = EXAMPLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(variable, _)| variable)
        .collect();
    assert_eq!(interpolated(COMPOSE), in_example);
    // The example says the defaults that hold without it.
    for line in EXAMPLE.lines().filter(|line| !line.starts_with('#')) {
        let Some((variable, value)) = line.split_once('=') else { continue };
        assert!(COMPOSE.contains(&format!("${{{variable}:-{value}}}")), "{variable} has another default");
    }
}

#[test]
fn grafana_finds_its_sources_and_dashboards() {
    let compose = compose();
    let grafana = &services(&compose)["grafana"];
    let environment = grafana["environment"].as_object().unwrap();
    for variable in interpolated(SOURCES) {
        assert!(environment.contains_key(variable), "grafana is not given {variable}");
    }
    let clickhouse = services(&compose)["clickhouse"]["environment"].as_object().unwrap();
    let password = "CLICKHOUSE_DASH_PASSWORD";
    assert_eq!(environment[password], clickhouse[password], "the reader has one password");
    assert!(services(&compose).contains_key(environment["CLICKHOUSE_HOST"].as_str().unwrap()));
    let home = environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap();

    let sources: Value = serde_saphyr::from_str(SOURCES).unwrap();
    let kinds: BTreeSet<&str> = sources["datasources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["grafana-clickhouse-datasource", "prometheus"].into());
    assert_eq!(sources["datasources"][0]["jsonData"]["username"], "dash");
    assert!(environment["GF_PLUGINS_PREINSTALL"].as_str().unwrap().contains("grafana-clickhouse-datasource"));
    // Dashboards choose their sources by kind, so they work in any Grafana.
    for dashboard in dashboards::all() {
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "datasource") {
            assert!(kinds.contains(variable["query"].as_str().unwrap()), "{}", dashboard.file);
        }
        for panel in dashboard.panels() {
            let uid = panel["datasource"]["uid"].as_str().unwrap();
            let name = uid.trim_start_matches("${").trim_end_matches('}');
            let is_variable = dashboard.variables().iter().any(|variable| variable["name"] == name);
            assert!(is_variable, "{}: {uid}", dashboard.place(panel));
        }
    }

    let providers: Value = serde_saphyr::from_str(PROVIDERS).unwrap();
    let path = providers["providers"][0]["options"]["path"].as_str().unwrap();
    let mount = strings(&grafana["volumes"]).into_iter().find(|volume| volume.contains(&format!(":{path}:")));
    assert!(mount.is_some_and(|mount| mount.starts_with("./clickhouse/grafana/dashboards:")), "{mount:?}");
    let home = home.strip_prefix(path).unwrap().trim_start_matches('/');
    assert!(dashboards::folder().join(home).is_file(), "{home}");
}
