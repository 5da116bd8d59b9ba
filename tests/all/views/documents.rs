//! The files and the page beside the views say what is so.

use std::collections::BTreeSet;

use crate::support::clickhouse::ClickHouseUser;
use crate::support::databases::Databases;

const README: &str = include_str!("../../../clickhouse/users/README.md");
const DASH_XML: &str = include_str!("../../../clickhouse/users/dash.xml");
const READERS_SQL: &str = include_str!("../../../clickhouse/users/readers.sql");

/// The names between back quotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the page says the views leave out of a table: rows under it, the first naming it.
fn left_out(table: &str) -> BTreeSet<String> {
    let section = README.split("## What the views leave out").nth(1).unwrap();
    let mut current = BTreeSet::new();
    let mut names = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        if !cells[1].trim().is_empty() {
            current = quoted(cells[1]);
        }
        if current.contains(table) {
            // What stands in brackets is shown to its owner; the column is named before it.
            names.extend(quoted(&without_brackets(cells[2])));
        }
    }
    names
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|&character| {
            depth += i32::from(character == '(');
            let is_outside = depth == 0;
            depth -= i32::from(character == ')');
            is_outside
        })
        .collect()
}

#[tokio::test]
async fn every_column_is_shown_or_left_out_on_purpose() {
    let databases = Databases::shared().await;
    let log = ClickHouseUser::of(&databases.clickhouse_url);
    let columns = async |table: &str| -> BTreeSet<String> {
        let statement = format!(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{table}'"
        );
        log.lines(&statement).await.into_iter().collect()
    };
    for (table, view) in [
        ("attempts", "v_attempts"),
        ("inbound_requests", "v_inbound_requests"),
        ("clicks", "v_clicks"),
        ("conversion_events", "v_conversion_events"),
    ] {
        let (all, shown) = (columns(table).await, columns(view).await);
        assert!(!all.is_empty() && !shown.is_empty(), "{table}");
        let documented = left_out(table);
        for column in all.difference(&shown) {
            assert!(
                documented.contains(column),
                "{table}.{column} is neither in {view} nor left out on purpose"
            );
        }
    }
    // The other way round: what is said to be secret is in no view of the whole network.
    for (table, view) in
        [("attempts", "v_attempts"), ("inbound_requests", "v_inbound_requests"), ("clicks", "v_clicks")]
    {
        let secret: BTreeSet<String> =
            left_out(table).into_iter().filter(|column| !column.starts_with("advertiser")).collect();
        let shown = columns(view).await;
        assert_eq!(shown.intersection(&secret).count(), 0, "{view} shows {secret:?}");
    }
}

#[tokio::test]
async fn every_view_and_column_has_a_comment_and_a_place_on_the_page() {
    let databases = Databases::shared().await;
    let log = ClickHouseUser::of(&databases.clickhouse_url);
    let uncommented = log
        .lines(
            "SELECT table || '.' || name FROM system.columns
             WHERE database = currentDatabase() AND (table LIKE 'v\\_%' OR table IN ('names', 'view_readers'))
               AND comment = ''",
        )
        .await;
    assert!(uncommented.is_empty(), "without a comment: {uncommented:?}");
    let views = log
        .lines("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'v\\_%'")
        .await;
    let on_page = quoted(README);
    for view in &views {
        assert!(on_page.contains(view), "{view} is not in clickhouse/users/README.md");
        let readable = READERS_SQL.contains(&format!("GRANT SELECT ON ricochet.{view} TO "));
        assert!(readable, "nobody is granted {view} in clickhouse/users/readers.sql");
    }
    let granted = READERS_SQL.matches("GRANT SELECT ON ricochet.").count();
    assert_eq!(granted, views.len(), "readers.sql grants something that is no view");
}

#[tokio::test]
async fn both_files_make_the_same_user_and_clickhouse_can_read_the_sql() {
    let in_xml: BTreeSet<&str> =
        DASH_XML.split("<query>").skip(1).map(|rest| rest.split("</query>").next().unwrap()).collect();
    let in_sql: BTreeSet<&str> =
        READERS_SQL.lines().filter_map(|line| line.strip_suffix(" TO dash;")).collect();
    assert_eq!(in_xml, in_sql);
    for (xml, sql) in [
        ("<readonly>2</readonly>", "readonly = 2"),
        ("<max_execution_time>30</max_execution_time>", "max_execution_time = 30 MIN 1 MAX 60"),
        ("<max_execution_time><min>1</min><max>60</max></max_execution_time>", "MAX 60"),
        (
            "<max_memory_usage>1000000000</max_memory_usage>",
            "max_memory_usage = 1000000000 MIN 1 MAX 1000000000",
        ),
        ("<max_memory_usage><min>1</min><max>1000000000</max></max_memory_usage>", "MAX 1000000000"),
        (
            "<max_concurrent_queries_for_user>32</max_concurrent_queries_for_user>",
            "max_concurrent_queries_for_user = 32 CONST",
        ),
        ("<max_concurrent_queries_for_user><const/></max_concurrent_queries_for_user>", "CONST"),
    ] {
        assert!(DASH_XML.contains(xml), "{xml}");
        assert!(READERS_SQL.contains(sql), "{sql}");
    }

    // The embedded engine has no users of SQL, but reads the statements.
    let databases = Databases::shared().await;
    let log = ClickHouseUser::of(&databases.clickhouse_url);
    let mut statements = 0;
    for statement in READERS_SQL.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        let lines: Vec<&str> = statement.lines().filter(|line| !line.starts_with("--")).collect();
        let explained = format!("EXPLAIN AST {}", lines.join("\n").trim());
        let (status, answer) = log.ask_with(&explained, &[("password", "x")]).await;
        assert_eq!(status, 200, "{explained}: {answer}");
        statements += 1;
    }
    assert!(statements > 15, "{statements}");
}
