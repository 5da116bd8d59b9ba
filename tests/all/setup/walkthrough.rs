//! The commands of the documentation, as they stand there.

use std::process::Command;
use std::{fs, path::Path};

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// All blocks of bash of a document, as one script.
fn script(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document);
    let text = fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> =
        text.split("```bash\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty(), "{document} has no commands");
    blocks.join("\n")
}

#[actix_web::test]
async fn the_documented_commands_lead_to_a_reconciled_conversion() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let commands = format!("set -eu -o pipefail\n{}\n{}", script("setup.md"), script("reconciliation.md"))
        .replace("http://127.0.0.1:8080", &server.url(""))
        .replace("https://tracker.example", &tracker.url);

    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_ricochet")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(&commands).current_dir(folder.path()).env("PATH", path);
    bash.env("DATABASE_URL", &world.databases.database_url).env("no_proxy", "127.0.0.1");
    bash.env("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8");
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    for expected in [
        r#""requestId":"order-1","status":"HOLD","payout":"24.00""#,
        "line 2       change     order-1  status: hold → approved",
        "10.00",
        "applied: 1 accepted",
        r#""unchanged":1"#,
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let received = tracker.until_received(2).await;
    let mut statuses: Vec<_> = received.iter().filter_map(|request| request.parameter("status")).collect();
    statuses.sort();
    assert_eq!(statuses, ["approved", "hold"]);
    assert_eq!(received[0].parameter("cid").as_deref(), Some("tracker-1"));
}
