//! The README's commands, run as they are pasted, against `ricochet dev --demo`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::eventually;

struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_dev(directory: &Path) -> Dev {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = fs::File::create(directory.join("out")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_ricochet"))
        .args(["dev", "--demo", "--listen", &address.to_string()])
        .current_dir(directory)
        .env_remove("DATABASE_URL")
        .env_remove("CLICKHOUSE_URL")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Dev(child)
}

async fn until_shown(directory: &Path) -> String {
    eventually("the demo shows the main job", || async {
        let shown = fs::read_to_string(directory.join("out")).unwrap();
        assert!(!shown.contains("ricochet: "), "{shown}");
        shown.contains("Ctrl-C stops everything").then_some(shown)
    })
    .await
}

/// The `sh` blocks under the headings of the first conversion, GraphQL and ClickHouse query.
fn commands() -> String {
    let readme = include_str!("../../README.md");
    let shown = readme.split("\n## ").filter(|section| section.starts_with("The first "));
    let blocks = shown.flat_map(|section| section.split("```sh\n").skip(1));
    blocks.map(|block| block.split("```").next().unwrap()).collect::<Vec<_>>().join("\necho; echo ----\n")
}

fn paste(directory: &Path, commands: &str) -> Vec<String> {
    let output = Command::new("bash").args(["-euc", commands]).current_dir(directory).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    shown.split("----").map(str::to_owned).collect()
}

#[tokio::test]
async fn the_commands_run_as_pasted_and_the_next_start_keeps_the_data() {
    let directory = tempfile::tempdir().unwrap();
    // As root, PostgreSQL runs as another user, who has to get in.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let first = start_dev(directory.path());
    let shown = until_shown(directory.path()).await;
    assert!(shown.contains("\"outcome\":\"DELIVERED\""), "{shown}");
    let demo = || fs::read_to_string(directory.path().join(".ricochet/demo.json")).unwrap();
    let before: Value = serde_json::from_str(&demo()).unwrap();

    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    if !has_curl {
        eprintln!("not pasted: there is no curl on this machine");
        return;
    }
    let pasted = paste(directory.path(), &commands());
    assert!(pasted[0].contains(r#"{"status":"success","lead_id":""#), "{pasted:?}");
    assert!(pasted[1].contains(r#""postbackLog":{"totalCount":"#), "{pasted:?}");
    assert!(pasted[2].contains("delivered"), "{pasted:?}");

    // Killed, not stopped: everything is there again, under the same keys.
    drop(first);
    let _second = start_dev(directory.path());
    until_shown(directory.path()).await;
    let after: Value = serde_json::from_str(&demo()).unwrap();
    for key in ["owner_token", "advertisers", "partners", "offers"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    let again = paste(directory.path(), &commands());
    assert!(
        again[0].contains(r#""rejected_by_conflict":true"#),
        "another click with a known request id: {again:?}"
    );
}
