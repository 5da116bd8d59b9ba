//! Metrics that panels and alerts name are those a server tells after some traffic, and those of
//! docs/metrics.md.

use std::collections::BTreeSet;

use ricochet::domain::event::Event;
use ricochet::metrics::table::{Kind, METRICS, Metric};
use serde_json::Value;

use super::dashboards;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const ALERTS: &str = include_str!("../../../clickhouse/grafana/prometheus/alerts.yaml");
const SCRAPING: &str = include_str!("../../../clickhouse/grafana/prometheus/prometheus.yaml");

/// The words of an expression that may be names.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The metric that a word names; of a histogram, its buckets.
fn metric_of(word: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| match metric.kind {
        Kind::Histogram => word.strip_suffix("_bucket") == Some(metric.name),
        Kind::Counter | Kind::Gauge => word == metric.name,
    })
}

/// What is wrong with an expression.
fn faults(expression: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let named: Vec<&Metric> = words(expression).filter_map(metric_of).collect();
    for word in words(expression).filter(|word| word.starts_with("ricochet_") || word.starts_with("process_"))
    {
        if metric_of(word).is_none() {
            faults.push(format!("{word} is no metric"));
        }
    }
    if named.is_empty() && !words(expression).any(|word| word == "up") {
        faults.push("names no metric".into());
    }
    let labels = |label: &str| {
        ["job", "instance", "le"].contains(&label)
            || named.iter().any(|metric| metric.labels.contains(&label))
    };
    for matchers in expression.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
        for matcher in matchers.split(',').filter(|matcher| !matcher.trim().is_empty()) {
            let label = matcher.trim().split(['=', '!']).next().unwrap();
            if !labels(label) {
                faults.push(format!("{label} is no label of what it asks for"));
            }
        }
    }
    for grouping in expression.split(" by (").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        for label in grouping.split(',').map(str::trim).filter(|label| !labels(label)) {
            faults.push(format!("{label} is no label of what it groups"));
        }
    }
    let closed = expression.matches('(').count() == expression.matches(')').count();
    if !closed {
        faults.push("its brackets do not fit".into());
    }
    faults
}

#[test]
fn panels_and_alerts_name_metrics_and_labels_that_are() {
    let mut asked = 0;
    for dashboard in dashboards::all() {
        for (panel, target) in dashboard.targets("prometheus") {
            let expression = target["expr"].as_str().unwrap();
            assert_eq!(faults(expression), Vec::<String>::new(), "{}: {expression}", dashboard.place(panel));
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");

    let alerts: Value = serde_saphyr::from_str(ALERTS).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    let mut names = BTreeSet::new();
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        let expression = rule["expr"].as_str().unwrap();
        assert_eq!(faults(expression), Vec::<String>::new(), "{name}: {expression}");
        assert!(rule["for"].is_string(), "{name} has no patience");
        assert!(["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
    }
    assert!(rules.len() >= 8);
    let scraping: Value = serde_saphyr::from_str(SCRAPING).unwrap();
    assert_eq!(scraping["scrape_configs"][0]["job_name"], "ricochet", "what expressions ask for");
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let asked: String = dashboards::all()
        .iter()
        .flat_map(|dashboard| {
            dashboard.targets("prometheus").into_iter().map(|(_, target)| target["expr"].to_string())
        })
        .collect();
    for metric in METRICS {
        assert!(asked.contains(metric.name), "{} is on no dashboard", metric.name);
    }
}

#[tokio::test]
async fn a_server_tells_exactly_the_metrics_of_the_table() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let metrics =
        async || world.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let at_first = metrics().await;
    // Before anything has happened, what may happen is told as 0.
    assert!(at_first.contains("ricochet_unanswered_requests_total{reason=\"overloaded\"} 0"), "{at_first}");
    assert!(at_first.contains("ricochet_clicks_total 0"), "{at_first}");

    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;
    world.attempts(&server, 1).await;
    let told = eventually("every metric of the table is told", || async {
        let told: BTreeSet<String> = metrics()
            .await
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
            .collect();
        let is_told = |metric: &Metric| match metric.kind {
            Kind::Histogram => told.contains(&format!("{}_bucket", metric.name)),
            Kind::Counter | Kind::Gauge => told.contains(metric.name),
        };
        METRICS.iter().all(is_told).then(|| told.clone())
    })
    .await;
    for name in told {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let is_known = METRICS.iter().any(|metric| match metric.kind {
            Kind::Histogram => of_histogram == Some(metric.name),
            Kind::Counter | Kind::Gauge => metric.name == name,
        });
        assert!(is_known, "{name} is told but not in the table");
    }
    let text = metrics().await;
    for metric in METRICS {
        assert!(text.contains(&format!("# TYPE {} {}", metric.name, metric.kind.word())), "{}", metric.name);
    }
}
