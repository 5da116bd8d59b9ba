//! What the documentation says, against what is so.

use std::process::Command;

use ricochet::domain::fields::NAMES;
use ricochet::domain::status::{Status, StatusWord};
use serde_json::Value;

use crate::support::server::Server;
use crate::support::world::World;

const CONVERSIONS: &str = include_str!("../../../docs/conversions.md");

/// The rows of the table after a marker: for each column, the words in backticks.
fn table(marker: &str) -> Vec<Vec<Vec<&'static str>>> {
    let (_, rest) = CONVERSIONS.split_once(marker).unwrap();
    let rows = rest.lines().skip(3).take_while(|line| line.starts_with('|'));
    let words = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect();
    rows.map(|row| row.trim_matches('|').split('|').map(words).collect()).collect()
}

#[test]
fn the_documented_fields_are_the_real_ones() {
    let documented = table("<!-- fields: tested against domain/fields.rs -->");
    let real: Vec<(Vec<&str>, Vec<&str>)> =
        NAMES.iter().map(|(name, aliases)| (vec![*name], aliases.to_vec())).collect();
    let documented: Vec<(Vec<&str>, Vec<&str>)> =
        documented.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(documented, real);
}

#[test]
fn the_documented_status_words_are_the_real_ones() {
    let documented = table("<!-- statuses: tested against domain/status.rs -->");
    let real: Vec<Vec<Vec<&str>>> = Status::ALL
        .into_iter()
        .map(|status| vec![vec![status.code()], Status::words(status).to_vec()])
        .collect();
    assert_eq!(documented, real);
    assert_eq!(StatusWord::read("1"), StatusWord::Unknown);
}

/// Runs every `sh` block of a page as it stands.
fn paste(page: &str, variables: &[(&str, String)]) -> Vec<String> {
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    blocks
        .into_iter()
        .map(|block| {
            let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
            let output = Command::new("bash")
                .args(["-euo", "pipefail", "-c", block])
                .envs(variables)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{block}\n{told}\n{}", String::from_utf8_lossy(&output.stderr));
            told
        })
        .collect()
}

fn success(answer: &str) {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{answer}"));
    assert_eq!(answer["status"], "success", "{answer}");
    assert_eq!(answer["duplicate"], false, "{answer}");
    assert_eq!(answer["rejected_by_conflict"], false, "{answer}");
}

#[tokio::test]
async fn the_documented_commands_do_what_the_page_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("not pasted: there is no curl on this machine");
        return;
    }
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let with_click = async |link| {
        [
            ("BASE", server.url("")),
            ("KEY", world.api_key.clone()),
            ("OFFER", world.fixed.0.to_string()),
            ("CLICK", world.click(&server, link).await),
        ]
    };

    let s2s = paste(include_str!("../../../docs/doors/s2s.md"), &with_click(world.fixed.1).await);
    s2s[..3].iter().for_each(|answer| success(answer));
    assert_eq!(s2s[3].trim(), "409");

    let page = include_str!("../../../docs/doors/conversions-api.md");
    let (one, many) = page.split_once("## An array").unwrap();
    success(&paste(one, &with_click(world.percent.1).await)[0]);
    let many = paste(many, &with_click(world.fixed.1).await);
    let results: Vec<Value> = serde_json::from_str(&many[0]).unwrap();
    let statuses = |results: &[Value]| -> Vec<u64> {
        results.iter().map(|result| result["http_status"].as_u64().unwrap()).collect()
    };
    assert_eq!(statuses(&results), [200, 200, 422]);
    let lines: Vec<Value> = many[1].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(statuses(&lines), [200, 400, 200]);

    let page = include_str!("../../../docs/doors/pixel-and-iframe.md");
    for told in paste(page, &with_click(world.fixed.1).await) {
        assert_eq!(told.trim(), "x-ricochet-verdict: accepted");
    }
    let page = include_str!("../../../docs/doors/click-script.md");
    assert!(paste(page, &with_click(world.fixed.1).await)[0].starts_with("etag: \""));
}
