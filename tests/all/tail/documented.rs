//! The commands of docs/export.md and docs/analytics.md, as they stand there.

use std::path::Path;
use std::process::Command;

use chrono::Utc;
use ricochet::event_log::rows::AttemptRow;
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::tokens;

use super::record;
use crate::graphql::rows::{attempt, store_network};
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::Server;

fn blocks(page: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn the_documented_commands_export_and_follow() {
    let databases = Databases::shared().await;
    store_network(&databases.pool).await;
    let server = Server::start(&databases).await;
    let token = tokens::create(&databases.pool, Grant::Bi(Scope::Everything), "").await.unwrap().secret;
    let failed = AttemptRow { outcome: "failed", reason: "answered 404".into(), ..attempt("f", Utc::now()) };
    record(&databases.pool, [attempt("d", Utc::now()), failed]).await;
    let url = server.url(&format!("/{}/s2s?click_id=nobody", "rk_nobody"));
    assert_eq!(reqwest::get(url).await.unwrap().status(), 401);
    eventually("all is shipped", || async {
        let db = databases.pool.get().await.unwrap();
        let left: i64 = db.query_one("SELECT count(*) FROM log_batches", &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;

    let commands = [blocks("export.md", "bash"), blocks("analytics.md", "bash")].concat();
    assert!(commands.len() >= 6, "the pages have few commands");
    let program = Path::new(env!("CARGO_BIN_EXE_ricochet")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(format!("set -eu -o pipefail\n{}", commands.join("\n"))).current_dir(folder.path());
    bash.env("PATH", path).env("no_proxy", "127.0.0.1");
    bash.env("RICOCHET_URL", server.url("")).env("RICOCHET_TOKEN", &token);
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["answered 404", "totalCount", "\"d\""] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(String::from_utf8(file("failed.csv")).unwrap().lines().count(), 2);
    assert_eq!(String::from_utf8(file("rejected.csv")).unwrap().lines().count(), 2);
    assert!(file("attempts.parquet").starts_with(b"PAR1"));

    for statement in blocks("analytics.md", "sql") {
        let rows =
            databases.log.client().query(&format!("SELECT count() FROM ({statement})")).fetch_one::<u64>();
        assert!(rows.await.unwrap() > 0, "{statement}");
    }
}
