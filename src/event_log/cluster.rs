//! The tables of the log on a cluster: the same statements, said for many servers.
//!
//! Rows live in `NAME_local`, a replicated table on each shard; `NAME` is a distributed table over
//! them, by which everybody reads and writes. Views work on each shard, from local table to local
//! table. A row's shard is chosen by its id, so a shipment that is sent again falls apart the same
//! way, and each shard recognises its part. Tables of [`WHOLE`] are small and looked up beside rows
//! of every shard: each server has all of their rows.

/// Tables that are replicated over all servers of all shards.
const WHOLE: [&str; 2] = ["names", "view_readers"];

/// The statements for a cluster that do what `statement` does on one server.
///
/// Knows the statements that migrations are made of: `CREATE TABLE IF NOT EXISTS`, `CREATE
/// MATERIALIZED VIEW IF NOT EXISTS`, `CREATE OR REPLACE VIEW` and `ALTER TABLE`.
pub fn clustered(statement: &str, cluster: &str) -> Vec<String> {
    let statement = without_comments(statement);
    if let Some(table) = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ") {
        create_table(table, cluster)
    } else if let Some(view) = statement.strip_prefix("CREATE MATERIALIZED VIEW IF NOT EXISTS ") {
        vec![create_view(view, cluster)]
    } else if let Some(view) = statement.strip_prefix("CREATE OR REPLACE VIEW ") {
        // It keeps no rows and reads tables by the names that stand for all shards.
        vec![format!("CREATE OR REPLACE VIEW {}", said_everywhere(view, cluster))]
    } else if let Some(alter) = statement.strip_prefix("ALTER TABLE ") {
        alter_table(alter, cluster)
    } else {
        vec![statement]
    }
}

/// Where the rows of a table are on each shard.
pub fn local(table: &str) -> String {
    format!("{table}_local")
}

/// What stands behind a table's name in statements for all servers.
pub fn everywhere(cluster: &str) -> String {
    format!(" ON CLUSTER '{cluster}'")
}

fn without_comments(statement: &str) -> String {
    let lines = statement.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// `NAME …`, with the servers to run it on after the name.
fn said_everywhere(rest: &str, cluster: &str) -> String {
    let (name, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    format!("{name}{}\n{rest}", everywhere(cluster))
}

/// One replicated table whose replicas are all servers: its place in Keeper names no shard.
fn create_whole_table(name: &str, rest: &str, cluster: &str) -> String {
    let keeper = format!("'/clickhouse/tables/{{database}}/{name}', '{{shard}}-{{replica}}'");
    let rest =
        rest.replace("ENGINE = MergeTree", &format!("ENGINE = ReplicatedMergeTree({keeper})")).replace(
            "ENGINE = ReplacingMergeTree(",
            &format!("ENGINE = ReplicatedReplacingMergeTree({keeper}, "),
        );
    format!("CREATE TABLE IF NOT EXISTS {name}{}\n{rest}", everywhere(cluster))
}

fn create_table(rest: &str, cluster: &str) -> Vec<String> {
    let (name, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    if WHOLE.contains(&name) {
        return vec![create_whole_table(name, rest, cluster)];
    }
    let (local, everywhere) = (local(name), everywhere(cluster));
    let rest = rest
        .replace("ENGINE = MergeTree", "ENGINE = ReplicatedMergeTree")
        .replace("ENGINE = AggregatingMergeTree", "ENGINE = ReplicatedAggregatingMergeTree")
        // As many shipments are remembered, and for a week: longer than one is ever tried.
        .replace(
            "non_replicated_deduplication_window = 10000",
            "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800",
        );
    vec![
        format!("CREATE TABLE IF NOT EXISTS {local}{everywhere}\n{rest}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {name}{everywhere} AS {local}\n\
             ENGINE = Distributed('{cluster}', currentDatabase(), {local}, {})",
            sharding_key(name)
        ),
    ]
}

/// Rows of one click, conversion or request are on one shard, so that they are grouped there.
fn sharding_key(table: &str) -> &'static str {
    match table {
        "attempts" | "clicks" | "conversion_events" => "cityHash64(click_id)",
        "inbound_requests" => "cityHash64(inbound_id)",
        // Written by views on each shard, never through the distributed table.
        _ => "rand()",
    }
}

fn create_view(rest: &str, cluster: &str) -> String {
    let (head, select) = rest.split_once(" AS\n").unwrap_or((rest, ""));
    let (name, target) = head.split_once(" TO ").unwrap_or((head, ""));
    let lines: Vec<String> = select
        .lines()
        .map(|line| match line.strip_prefix("FROM ") {
            Some(table) => format!("FROM {}", local(table)),
            None => line.to_owned(),
        })
        .collect();
    format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {name}{} TO {} AS\n{}",
        everywhere(cluster),
        local(target),
        lines.join("\n")
    )
}

fn alter_table(rest: &str, cluster: &str) -> Vec<String> {
    let (name, changes) = rest.split_once('\n').unwrap_or((rest, ""));
    let everywhere = everywhere(cluster);
    let mut statements = vec![format!("ALTER TABLE {}{everywhere}\n{changes}", local(name))];
    // A distributed table has columns and nothing else.
    let columns: Vec<&str> = changes
        .lines()
        .map(|line| line.trim_end_matches(','))
        .filter(|line| {
            line.trim_start().starts_with("ADD COLUMN") || line.trim_start().starts_with("MODIFY COLUMN")
        })
        .collect();
    if !columns.is_empty() {
        statements.push(format!("ALTER TABLE {name}{everywhere}\n{}", columns.join(",\n")));
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_a_local_and_a_distributed_one() {
        let statement = "-- Why.\nCREATE TABLE IF NOT EXISTS clicks\n(\n    click_id UUID\n)\nENGINE = MergeTree\n\
                         ORDER BY click_id\nSETTINGS non_replicated_deduplication_window = 10000";
        let [local, distributed] = clustered(statement, "c").try_into().unwrap();
        assert_eq!(
            local,
            "CREATE TABLE IF NOT EXISTS clicks_local ON CLUSTER 'c'\n(\n    click_id UUID\n)\n\
             ENGINE = ReplicatedMergeTree\nORDER BY click_id\nSETTINGS replicated_deduplication_window = 10000, \
             replicated_deduplication_window_seconds = 604800"
        );
        assert_eq!(
            distributed,
            "CREATE TABLE IF NOT EXISTS clicks ON CLUSTER 'c' AS clicks_local\n\
             ENGINE = Distributed('c', currentDatabase(), clicks_local, cityHash64(click_id))"
        );
    }

    #[test]
    fn a_table_that_is_whole_everywhere_has_one_place_for_all_shards() {
        let statement = "CREATE TABLE IF NOT EXISTS names\n(\n    id UUID\n)\nENGINE = ReplacingMergeTree(version)\n\
                         ORDER BY id";
        assert_eq!(
            clustered(statement, "c"),
            ["CREATE TABLE IF NOT EXISTS names ON CLUSTER 'c'\n(\n    id UUID\n)\n\
              ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/names', '{shard}-{replica}', version)\n\
              ORDER BY id"]
        );
    }

    #[test]
    fn a_plain_view_is_made_everywhere() {
        assert_eq!(
            clustered("CREATE OR REPLACE VIEW v_clicks\n(\n    a UInt8\n)\nAS SELECT a\nFROM clicks", "c"),
            ["CREATE OR REPLACE VIEW v_clicks ON CLUSTER 'c'\n(\n    a UInt8\n)\nAS SELECT a\nFROM clicks"]
        );
    }

    #[test]
    fn an_index_is_of_the_local_table_only() {
        let statement = "ALTER TABLE clicks\n    ADD COLUMN a UInt8,\n    ADD INDEX i a TYPE minmax";
        assert_eq!(
            clustered(statement, "c"),
            [
                "ALTER TABLE clicks_local ON CLUSTER 'c'\n    ADD COLUMN a UInt8,\n    ADD INDEX i a TYPE minmax",
                "ALTER TABLE clicks ON CLUSTER 'c'\n    ADD COLUMN a UInt8",
            ]
        );
    }

    #[test]
    fn a_view_reads_and_writes_on_its_own_shard() {
        let statement =
            "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO t AS\nSELECT 1\nFROM attempts\nGROUP BY a";
        assert_eq!(
            clustered(statement, "c"),
            [
                "CREATE MATERIALIZED VIEW IF NOT EXISTS v ON CLUSTER 'c' TO t_local AS\nSELECT 1\nFROM attempts_local\nGROUP BY a"
            ]
        );
    }
}
