//! Every panel's SQL on a seeded log, asked by the user Grafana asks as: each returns rows.

use std::collections::BTreeMap;

use chrono::Utc;
use serde_json::Value;

use super::dashboards::{self, Dashboard};
use super::macros::{Choice, expand};
use crate::support::clickhouse::ClickHouseUser;
use crate::support::databases::Databases;

const SEED: &str = include_str!("seed.sql");
const CLICKHOUSE: &str = "grafana-clickhouse-datasource";
const SIX_HOURS: i64 = 6 * 3_600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    All,
    /// The first option of every variable.
    One,
}

async fn seeded() -> (Databases, ClickHouseUser) {
    let databases = Databases::readable().await;
    let owner = ClickHouseUser::of(&databases.clickhouse_url);
    for statement in SEED.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        owner.text(statement).await;
    }
    let dash = ClickHouseUser::of(&databases.pair.engines.clickhouse_reader_url().unwrap());
    (databases, dash)
}

async fn choose(dashboard: &Dashboard, dash: &ClickHouseUser, chosen: Chosen) -> Choice {
    let mut variables = BTreeMap::new();
    for variable in dashboard.variables() {
        let name = variable["name"].as_str().unwrap().to_owned();
        let values = match variable["type"].as_str().unwrap() {
            "custom" => Some(vec![variable["current"]["value"].as_str().unwrap().to_owned()]),
            "query" if variable["datasource"]["type"] == CLICKHOUSE => {
                let query = variable["query"].as_str().unwrap();
                let options = dash.lines(query).await;
                assert!(options.len() > 1, "{}: {name} has nothing to choose from", dashboard.file);
                let first = options[0].split('\t').next().unwrap().to_owned();
                let may_be_all = variable["includeAll"] == true;
                (chosen == Chosen::One || !may_be_all).then(|| vec![first])
            }
            _ => continue,
        };
        variables.insert(name, values);
    }
    let to = Utc::now().timestamp();
    Choice { from: to - SIX_HOURS, to, interval_s: 60, variables }
}

/// Whether a value says more than that there was nothing.
fn is_telling(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "0"),
        _ => true,
    }
}

#[tokio::test]
async fn every_panel_returns_rows_for_all_and_for_one() {
    let (_databases, dash) = seeded().await;
    let mut asked = 0;
    let mut faults = Vec::new();
    for dashboard in dashboards::all() {
        for chosen in [Chosen::All, Chosen::One] {
            let choice = choose(&dashboard, &dash, chosen).await;
            for (panel, target) in dashboard.targets(CLICKHOUSE) {
                let place = format!("{} ({chosen:?})", dashboard.place(panel));
                let sql = expand(target["rawSql"].as_str().unwrap(), &choice);
                let (status, answer) = dash.ask(&format!("{sql}\nFORMAT JSONCompact")).await;
                if status != 200 {
                    faults.push(format!("{place}: {answer}\n{sql}"));
                    continue;
                }
                let answer: Value = serde_json::from_str(&answer).unwrap();
                let rows = answer["data"].as_array().unwrap();
                let is_series = target["format"] == 0;
                if is_series != (answer["meta"][0]["name"] == "time") {
                    faults.push(format!("{place}: a series has its time first, and only a series"));
                }
                // Of one destination, say, that nothing is paused is an answer.
                let values =
                    rows.iter().flat_map(|row| row.as_array().unwrap().iter().skip(usize::from(is_series)));
                if rows.is_empty() || (chosen == Chosen::All && !values.clone().any(is_telling)) {
                    faults.push(format!("{place}: nothing to show\n{sql}"));
                }
                asked += 1;
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(asked > 100, "{asked}");
}

#[tokio::test]
async fn figures_are_those_of_the_raw_rows() {
    let (databases, dash) = seeded().await;
    let owner = ClickHouseUser::of(&databases.clickhouse_url);
    let dashboards = dashboards::all();
    let overview = dashboards.iter().find(|dashboard| dashboard.uid() == "ricochet-network").unwrap();
    let choice = choose(overview, &dash, Chosen::All).await;
    let (from, to) = (choice.from, choice.to);
    for (title, independent) in [
        (
            "Clicks",
            format!("SELECT sum(1) FROM clicks WHERE toUnixTimestamp(clicked_at) >= {from} AND clicked_at <= fromUnixTimestamp({to})"),
        ),
        (
            "Conversions",
            format!(
                "SELECT uniqExact(request_id) FROM conversion_events
                 WHERE status_from = '' AND toUnixTimestamp(recorded_at) >= {from} AND recorded_at <= fromUnixTimestamp({to})"
            ),
        ),
        (
            "Refunds",
            format!(
                "SELECT count() FROM (SELECT * FROM conversion_events WHERE event = 'reject') AS rejects
                 WHERE rejects.status_from = 'approved' AND toUnixTimestamp(recorded_at) >= {from}
                   AND recorded_at <= fromUnixTimestamp({to})"
            ),
        ),
    ] {
        let (_, target) =
            overview.targets(CLICKHOUSE).into_iter().find(|(panel, _)| panel["title"] == title).unwrap();
        let shown = dash.text(&expand(target["rawSql"].as_str().unwrap(), &choice)).await;
        assert_eq!(shown, owner.text(&independent).await, "{title}");
        assert_ne!(shown, "0", "{title}");
    }
}
