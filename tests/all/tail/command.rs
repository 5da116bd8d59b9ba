//! `ricochet tail`, the program.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ricochet::event_log::rows::AttemptRow;
use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::record;
use super::socket::until_followed;
use crate::graphql::rows::{attempt, id};
use crate::support::PATIENCE;
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::Server;

struct Tail {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: ChildStderr,
}

impl Tail {
    fn start(server: &Server, token: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ricochet"))
            .arg("tail")
            .args(arguments)
            .env_clear()
            .env("RICOCHET_URL", server.url(""))
            .env("RICOCHET_TOKEN", token)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = child.stderr.take().unwrap();
        Self { child, out, err }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.out.next_line()).await.expect("it says nothing");
        line.unwrap().unwrap_or_else(|| panic!("it ended"))
    }

    async fn txid(&mut self) -> String {
        let line = self.line().await;
        let attempt: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        attempt["txid"].as_str().unwrap().to_owned()
    }

    /// Its exit code and what it complained of.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut err = String::new();
        self.err.read_to_string(&mut err).await.unwrap();
        (self.child.wait().await.unwrap().code(), err)
    }
}

#[actix_web::test]
async fn it_shows_the_past_then_what_comes_and_ends_cleanly() {
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let server = Server::start(&databases).await;
    record(&databases.pool, [attempt("past", Utc::now() - TimeDelta::minutes(2))]).await;
    record(&databases.pool, [attempt("long past", Utc::now() - TimeDelta::minutes(20))]).await;
    let failed = |txid: &str| AttemptRow {
        outcome: "failed",
        reason: "no\u{1b}[2J".into(),
        offer_id: id(7),
        ..attempt(txid, Utc::now())
    };
    eventually("it is shipped", || async {
        let db = databases.pool.get().await.unwrap();
        let left: i64 = db.query_one("SELECT count(*) FROM log_batches", &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;
    let mut json = Tail::start(&server, &token, &["--since", "10m", "--json"]);
    assert_eq!(json.txid().await, "past");
    let offer = id(7).to_string();
    let mut lines = Tail::start(
        &server,
        &token,
        &["--since", "10m", "--outcome", "failed,retrying", "--offer", &offer, "--limit", "1"],
    );
    record(&databases.pool, [failed("new")]).await;
    assert_eq!(json.txid().await, "new");
    let line = lines.line().await;
    assert!(
        line.contains("FAILED") && line.contains("http://tracker.example/") && !line.contains('\u{1b}'),
        "{line:?}"
    );
    assert_eq!(lines.end().await, (Some(0), String::new()), "after its limit");

    kill(Pid::from_raw(json.child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(json.end().await, (Some(0), String::new()), "after Ctrl-C");
}

#[actix_web::test]
async fn it_finds_its_way_back_without_a_gap_or_a_repeat() {
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let mut server = Server::start(&databases).await;
    let other = Server::start(&databases).await;
    let mut tail = Tail::start(&server, &token, &["--json"]);
    let mut expected = HashSet::new();
    let mut seen = Vec::new();
    let mut number = 0;
    let write = async |count: usize, number: &mut usize, expected: &mut HashSet<String>| {
        for _ in 0..count {
            let txid = format!("t{number}");
            record(&databases.pool, [attempt(&txid, Utc::now() - TimeDelta::milliseconds(300))]).await;
            expected.insert(txid);
            *number += 1;
        }
    };
    until_followed(&server, 1).await;
    for _ in 0..3 {
        write(20, &mut number, &mut expected).await;
        // Some are read before the blow, some are on their way.
        for _ in 0..10 {
            seen.push(tail.txid().await);
        }
        server.kill();
        // Another node goes on meanwhile, and ships what there is.
        write(20, &mut number, &mut expected).await;
        eventually("the other node has shipped it", || async {
            let db = databases.pool.get().await.unwrap();
            let left: i64 = db.query_one("SELECT count(*) FROM log_batches", &[]).await.unwrap().get(0);
            (left == 0).then_some(())
        })
        .await;
        server.restart().await;
        write(20, &mut number, &mut expected).await;
    }
    while seen.len() < expected.len() {
        seen.push(tail.txid().await);
    }
    let once: HashSet<String> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "some were shown twice");
    assert_eq!(once, expected);
    let more = tokio::time::timeout(Duration::from_secs(1), tail.out.next_line()).await;
    assert!(more.is_err(), "and there is no more: {more:?}");
    drop(other);
}

#[actix_web::test]
async fn it_says_what_is_wrong() {
    let databases = Databases::shared().await;
    let made = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap();
    let mut server = Server::start(&databases).await;
    let (code, err) = Tail::start(&server, "rt_nobody", &[]).end().await;
    assert!(code == Some(1) && err.contains("401"), "{err}");
    let (code, err) = Tail::start(&server, &made.secret, &["--offer", "42"]).end().await;
    assert!(code == Some(1) && err.contains("filter.offerIds"), "{err}");
    let (code, err) = Tail::start(&server, &made.secret, &["--since", "3d"]).end().await;
    assert!(code == Some(1) && err.contains("24 hours"), "{err}");
    let (code, err) = Tail::start(&server, &made.secret, &["--since", "soon"]).end().await;
    assert!(code == Some(2) && err.contains("10m"), "{err}");

    let mut tail = Tail::start(&server, &made.secret, &["--json", "--since", "1m"]);
    record(&databases.pool, [attempt("x", Utc::now())]).await;
    assert_eq!(tail.txid().await, "x");
    tokens::revoke(&databases.pool, made.token.token_id).await.unwrap();
    let (code, err) = tail.end().await;
    assert!(code == Some(1) && err.contains("revoked"), "{err}");
    server.kill();
    let (code, err) = Tail::start(&server, &made.secret, &[]).end().await;
    assert!(code == Some(1) && err.contains("does not answer"), "{err}");
}
