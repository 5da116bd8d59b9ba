//! `clickhouse/README.md` lists the tables as they are, and the clustered statements are ones that
//! ClickHouse understands. With `UPDATE_DOCS=1` the list is written instead of compared.

use std::path::Path;

use clickhouse::Row;
use serde::Deserialize;

use crate::support::databases::Databases;

const BEGIN: &str = "<!-- tables: from the live schema, see tests/all/event_log/documents.rs -->\n";
const END: &str = "<!-- end of tables -->";

#[derive(Row, Deserialize)]
struct Table {
    name: String,
    engine: String,
    comment: String,
    partition_key: String,
    sorting_key: String,
}

#[derive(Row, Deserialize)]
struct Column {
    name: String,
    r#type: String,
    comment: String,
}

#[actix_web::test]
async fn the_readme_lists_every_table_and_column() {
    let databases = Databases::shared().await;
    let client = databases.log.client();
    let tables = "SELECT name, engine, comment, partition_key, sorting_key FROM system.tables \
                  WHERE database = currentDatabase() AND engine LIKE '%MergeTree' ORDER BY name";
    let mut text = String::new();
    for table in client.query(tables).fetch_all::<Table>().await.unwrap() {
        assert!(!table.comment.is_empty(), "{} has no comment", table.name);
        text += &format!(
            "\n### `{}`\n\n{}.\n\n`{}`, partitioned by `{}`, sorted by `{}`.",
            table.name, table.comment, table.engine, table.partition_key, table.sorting_key
        );
        let indexes = "SELECT concat('`', name, '` on `', expr, '`') FROM system.data_skipping_indices \
                       WHERE database = currentDatabase() AND table = ? ORDER BY name";
        let indexes: Vec<String> = client.query(indexes).bind(&table.name).fetch_all().await.unwrap();
        if !indexes.is_empty() {
            text += &format!(" Skip indexes: {}.", indexes.join(", "));
        }
        text += "\n\n| column | type | meaning |\n|---|---|---|\n";
        let columns = "SELECT name, type, comment FROM system.columns \
                       WHERE database = currentDatabase() AND table = ? ORDER BY position";
        for column in client.query(columns).bind(&table.name).fetch_all::<Column>().await.unwrap() {
            assert!(!column.comment.is_empty(), "{}.{} has no comment", table.name, column.name);
            text += &format!("| `{}` | `{}` | {} |\n", column.name, column.r#type, column.comment);
        }
    }
    text += "\n";

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clickhouse/README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the mark where tables begin");
    let (listed, after) = rest.split_once(END).expect("the README has the mark where tables end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
    } else {
        assert!(listed == text, "clickhouse/README.md is out of date; run this test with UPDATE_DOCS=1");
    }
}

#[actix_web::test]
async fn clickhouse_understands_the_clustered_statements() {
    let databases = Databases::shared().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clickhouse/clustered");
    let mut statements = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for statement in text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            let explained = format!("EXPLAIN AST {statement}").replace('?', "??");
            let lines = databases.log.client().query(&explained).fetch_all::<String>().await;
            assert!(lines.is_ok_and(|lines| !lines.is_empty()), "{statement}");
            statements += 1;
        }
    }
    assert!(statements > 20, "{statements}");
}
