//! The command line: what is set or done by the real program, seen through the other doors.

mod access;
mod by_hand;
mod network;
mod postbacks;
mod presets;
mod refusals;
mod reporting;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::access::stage::MASTER_KEY;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::world::World;

/// A server that is asked until it answers otherwise must not count the refusals.
const PATIENT: &[(&str, &str)] = &[("RICOCHET_REFUSALS_PER_SECOND", "0")];
const NOBODY: &str = "0198d5f0-0000-7000-8000-000000000000";

struct Said {
    is_success: bool,
    out: String,
    err: String,
}

impl World {
    /// Runs `ricochet` with the settings a server has.
    fn ricochet(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ricochet"))
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", &self.databases.database_url)
            .env("CLICKHOUSE_URL", &self.databases.clickhouse_url)
            .env("RICOCHET_MASTER_KEY", MASTER_KEY)
            .env("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8,::1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read it has said all it has to say.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            is_success: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What a command that succeeds prints.
    fn says(&self, arguments: &[&str]) -> String {
        let said = self.ricochet(arguments, "");
        assert!(said.is_success, "{arguments:?}: {}", said.err);
        said.out.trim_end().to_owned()
    }

    /// The same with `--json`.
    fn tells(&self, arguments: &[&str]) -> Value {
        let out = self.says(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}"))
    }

    /// What a command that must fail complains of.
    fn refuses(&self, arguments: &[&str]) -> String {
        let said = self.ricochet(arguments, "");
        assert!(!said.is_success && said.out.is_empty(), "{arguments:?}: {}", said.out);
        said.err
    }

    async fn asks(&self, server: &Server, query: &str) -> Value {
        self.graphql(server, &self.owner_token, query).await
    }

    /// The audited actions of the command line on a kind of thing, oldest first.
    async fn audited(&self, server: &Server, entity: &str) -> Vec<String> {
        let query = format!(
            "{{ auditLog(first: 100, filter: {{entities: [{entity}]}}) {{ edges {{ node {{ action actorRole }} }} }} }}"
        );
        let log = self.asks(server, &query).await;
        let nodes = log["auditLog"]["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]);
        let of_command_line = nodes.filter(|node| node["actorRole"] == "command_line");
        let mut actions: Vec<String> = of_command_line.map(|node| text(&node["action"])).collect();
        actions.reverse();
        actions
    }

    async fn advertiser_id(&self) -> String {
        let db = self.databases.pool.get().await.unwrap();
        db.query_one("SELECT advertiser_id::text FROM advertisers LIMIT 1", &[]).await.unwrap().get(0)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

async fn until<F: Future<Output = bool>>(what: &str, look: impl Fn() -> F) {
    eventually(what, || async { look().await.then_some(()) }).await;
}
