//! Both databases' migrations, one queue in the order of their names.

use anyhow::Context;
use tokio_postgres::Client;

use super::{log_batches, pool};
use crate::event_log::EventLog;
use crate::event_log::rollups::View;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Postgres,
    ClickHouse,
}

struct Migration {
    name: &'static str,
    target: Target,
    sql: &'static str,
}

macro_rules! postgres {
    ($name:literal) => {
        Migration {
            name: $name,
            target: Target::Postgres,
            sql: include_str!(concat!("../../migrations/", $name, ".sql")),
        }
    };
}

macro_rules! clickhouse {
    ($name:literal) => {
        Migration {
            name: $name,
            target: Target::ClickHouse,
            sql: include_str!(concat!("../../clickhouse/migrations/", $name, ".sql")),
        }
    };
}

/// Every migration, oldest first; a test holds this list to the two folders.
const MIGRATIONS: &[Migration] = &[
    postgres!("20261120000001_network"),
    postgres!("20261120000002_pipeline"),
    clickhouse!("20261120000003_logs"),
    postgres!("20261121000001_access"),
    postgres!("20261121000002_doors"),
    postgres!("20261121000003_rules"),
    postgres!("20261121000004_clicks"),
    postgres!("20261121000005_setup"),
    clickhouse!("20261121000013_inbound_origin"),
    postgres!("20261122000002_reconciliation"),
    postgres!("20261122000003_request_templates"),
    postgres!("20261122000004_conditions"),
    clickhouse!("20261122000005_attempt_wire"),
    postgres!("20261122000005_client_certificates"),
    postgres!("20261122000006_destinations"),
    postgres!("20261122000007_postback_secrets"),
    postgres!("20261122000007_postback_warnings"),
    postgres!("20261122000008_resend"),
    postgres!("20261122000009_flat_queues"),
    clickhouse!("20261123000001_ids_and_indexes"),
    clickhouse!("20261123000002_rollups"),
    postgres!("20261123000201_conversions_by_partner_and_offer"),
    postgres!("20261123000301_live_tail"),
    clickhouse!("20261123000401_views"),
    postgres!("20261123000402_names_of_partners"),
    postgres!("20261125000001_destination_news"),
    clickhouse!("20261126000001_rare_and_sent"),
    postgres!("20261126150001_resend_condition"),
    postgres!("20261126151001_kind_events"),
    postgres!("20261126151101_names_of_postbacks"),
    postgres!("20261126152000_node_states"),
    postgres!("20261126153000_unjudged_deliveries"),
    postgres!("20261127180000_shipments_by_end"),
    postgres!("20261127180001_sent_names"),
];

/// One migrator at a time, over all nodes.
const ADVISORY_LOCK: i64 = 0x5249_434f_4348_4554;

/// Brings both databases up to date and returns the names of what was applied.
///
/// # Errors
/// Where either database cannot be reached or refuses a migration; what was applied before
/// stays applied, and the next run goes on from there.
pub async fn run(database_url: &str, log: &EventLog) -> anyhow::Result<Vec<&'static str>> {
    run_on(database_url, Some(log)).await
}

/// Brings PostgreSQL up to date, for a start while ClickHouse is away: its migrations wait.
pub async fn run_postgres(database_url: &str) -> anyhow::Result<Vec<&'static str>> {
    run_on(database_url, None).await
}

async fn run_on(database_url: &str, log: Option<&EventLog>) -> anyhow::Result<Vec<&'static str>> {
    // A connection of its own: the advisory lock lives and dies with it.
    let pool = pool::build(database_url, 1)?;
    let client = pool.get().await.context("PostgreSQL cannot be reached; check DATABASE_URL")?;
    client.execute("SELECT pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await?;
    let result = apply_pending(&client, log).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&ADVISORY_LOCK]).await?;
    result
}

async fn apply_pending(client: &Client, log: Option<&EventLog>) -> anyhow::Result<Vec<&'static str>> {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                 name       text PRIMARY KEY,
                 applied_at timestamptz NOT NULL DEFAULT now()
             )",
        )
        .await?;
    let rows = client.query("SELECT name FROM schema_migrations", &[]).await?;
    let applied: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if let Some(unknown) =
        applied.iter().find(|name| !MIGRATIONS.iter().any(|known| known.name == name.as_str()))
    {
        anyhow::bail!(
            "the database was migrated by a newer ricochet ({unknown}); start that version instead"
        );
    }
    if let Some(log) = log {
        // Outside the queue: ClickHouse may have been replaced by an empty one.
        log.create_database().await.context("ClickHouse cannot be reached; check CLICKHOUSE_URL")?;
    }

    let mut done = Vec::new();
    for migration in MIGRATIONS {
        let is_applied = applied.iter().any(|name| name == migration.name);
        match (migration.target, log) {
            (Target::Postgres, _) if !is_applied => {
                apply_postgres(client, migration)
                    .await
                    .with_context(|| format!("migration {}", migration.name))?;
            }
            // Idempotent, and run at every start: an emptied ClickHouse gets its tables again.
            (Target::ClickHouse, Some(log)) => {
                apply_clickhouse(client, log, migration, is_applied)
                    .await
                    .with_context(|| format!("migration {}", migration.name))?;
                if is_applied {
                    continue;
                }
                record(client, migration).await?;
            }
            _ => continue,
        }
        done.push(migration.name);
    }
    Ok(done)
}

async fn apply_postgres(client: &Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let applied = client.batch_execute(&format!("BEGIN; {}", migration.sql)).await;
    if let Err(error) = applied {
        client.batch_execute("ROLLBACK").await?;
        return Err(error);
    }
    record(client, migration).await?;
    client.batch_execute("COMMIT").await
}

async fn record(client: &Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    client.execute("INSERT INTO schema_migrations (name) VALUES ($1)", &[&migration.name]).await?;
    Ok(())
}

async fn apply_clickhouse(
    client: &Client,
    log: &EventLog,
    migration: &Migration,
    is_applied: bool,
) -> anyhow::Result<()> {
    for statement in statements(migration.sql) {
        if let Some(view) = View::read(statement) {
            if !view.exists(log).await? {
                // Nothing may arrive between what the view is filled from and its making.
                let held = log_batches::hold_shipments(client, view.log).await?;
                let filled = view.fill(log).await;
                log_batches::release_shipments(client, held).await?;
                filled.with_context(|| format!("the rollup {}", view.target))?;
            }
        } else if !(is_applied && rewrites_what_is_there(statement)) {
            log.migrate(statement).await?;
        }
    }
    Ok(())
}

/// Statements that work through all rows there are. They are for the first time only; a table
/// made anew has none.
fn rewrites_what_is_there(statement: &str) -> bool {
    statement.contains("MATERIALIZE INDEX")
}

/// The statements of a file: they end with a semicolon at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

/// Whether every PostgreSQL migration of this binary has been applied.
pub async fn is_current(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let expected: Vec<&str> = MIGRATIONS
        .iter()
        .filter(|migration| migration.target == Target::Postgres)
        .map(|migration| migration.name)
        .collect();
    let row =
        client.query_one("SELECT count(*) FROM schema_migrations WHERE name = ANY($1)", &[&expected]).await?;
    Ok(usize::try_from(row.get::<_, i64>(0)) == Ok(expected.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::cluster::clustered;

    #[test]
    fn the_list_is_the_two_folders_in_order() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<String> = ["migrations", "clickhouse/migrations"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".sql", ""))
            .collect();
        files.sort();
        let listed: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.name).collect();
        assert_eq!(listed, files);
    }

    #[test]
    fn a_clickhouse_file_falls_into_its_statements() {
        let logs = MIGRATIONS.iter().find(|migration| migration.target == Target::ClickHouse).unwrap();
        assert_eq!(statements(logs.sql).count(), 4);
    }

    /// The statements as they are run on a cluster, to be read and to be run by hand. With
    /// `UPDATE_DOCS=1` they are written instead of compared.
    #[test]
    fn the_clustered_files_are_the_migrations_for_a_cluster() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("clickhouse/clustered");
        for migration in MIGRATIONS.iter().filter(|migration| migration.target == Target::ClickHouse) {
            let clustered: Vec<String> = statements(migration.sql)
                .flat_map(|statement| clustered(statement, "{cluster}"))
                .map(|statement| format!("{};\n", statement.trim_end().trim_end_matches(';')))
                .collect();
            let (path, text) = (folder.join(format!("{}.sql", migration.name)), clustered.join("\n"));
            if std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::write(&path, text).unwrap();
            } else {
                let written = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(
                    written == text,
                    "{} is out of date; run this test with UPDATE_DOCS=1",
                    path.display()
                );
            }
        }
    }
}
