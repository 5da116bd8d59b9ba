//! The embedded engines: what they keep when they are killed, and what they leave behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid, getpgrp};
use ricochet::embedded::{EngineError, EngineOptions, Engines, graphiql_dir};
use tempfile::TempDir;
use url::Url;

const PARENT_TEST_DATA_DIR: &str = "RICOCHET_TEST_PARENT_DATA_DIR";
const STARTED: &str = "the engines are started";

#[test]
fn both_engines_keep_what_they_acknowledged_when_they_are_killed() {
    let directory = passable_directory();
    let engines = start_in(directory.path()).unwrap();
    let (database_url, clickhouse_url) = (engines.database_url(), engines.clickhouse_url());

    run_sql(&engines, "CREATE TABLE kept (id bigint PRIMARY KEY); INSERT INTO kept VALUES (1), (2)");
    engines.kill_postgres().unwrap();
    assert_eq!(engines.database_url(), None);
    engines.start_postgres().unwrap();
    assert_eq!(engines.database_url(), database_url, "the port or the password changed");
    assert_eq!(count_sql(&engines, "SELECT count(*) FROM kept"), 2);

    query(&clickhouse_url, "CREATE TABLE ricochet.kept (id UInt64) ENGINE = MergeTree ORDER BY id");
    query(&clickhouse_url, "INSERT INTO ricochet.kept SELECT number FROM numbers(1000)");
    engines.kill_clickhouse().unwrap();
    assert_eq!(engines.clickhouse_url(), None);
    engines.start_clickhouse().unwrap();
    assert_eq!(engines.clickhouse_url(), clickhouse_url, "the port or the password changed");
    assert_eq!(query(&clickhouse_url, "SELECT count() FROM ricochet.kept"), "1000");

    engines.stop().unwrap();
    assert_eq!(processes_below(directory.path()), []);

    // A clean stop and a start by another `Engines` keep it all as well.
    let engines = start_in(directory.path()).unwrap();
    assert_eq!(engines.database_url(), database_url);
    assert_eq!(count_sql(&engines, "SELECT count(*) FROM kept"), 2);
    assert_eq!(query(&engines.clickhouse_url(), "SELECT count() FROM ricochet.kept"), "1000");
}

/// Ctrl-C goes to the whole process group of the terminal, and the engines are ours to stop.
#[test]
fn no_engine_is_in_the_process_group_of_who_started_it() {
    let directory = passable_directory();
    let engines = start_in(directory.path()).unwrap();
    let processes = processes_below(directory.path());
    for data in ["postgres", "clickhouse"] {
        let engine = processes_below(&directory.path().join(data));
        assert!(!engine.is_empty(), "{data}");
    }
    // Some of PostgreSQL's may have ended meanwhile.
    let groups: Vec<Pid> = processes.iter().filter_map(|process| getpgid(Some(*process)).ok()).collect();
    assert!(groups.len() > 1);
    assert!(groups.iter().all(|group| *group != getpgrp()), "{groups:?}");
    engines.stop().unwrap();
}

#[test]
fn a_data_directory_serves_one_ricochet_at_a_time() {
    let directory = passable_directory();
    let engines = start_in(directory.path()).unwrap();
    let refused = start_in(directory.path()).err().unwrap();
    assert!(matches!(refused, EngineError::DataDirectoryInUse { .. }));
    let sentence = refused.to_string();
    assert!(sentence.contains("in use by another running ricochet"), "{sentence}");
    assert!(sentence.contains("--data-dir"), "{sentence}");
    assert_eq!(count_sql(&engines, "SELECT 1::bigint"), 1);
}

#[test]
fn a_taken_port_is_exchanged_at_the_next_start() {
    let directory = passable_directory();
    let engines = start_in(directory.path()).unwrap();
    let port = |url: Option<String>| Url::parse(&url.unwrap()).unwrap().port().unwrap();
    let (postgres_port, clickhouse_port) = (port(engines.database_url()), port(engines.clickhouse_url()));
    engines.stop_postgres().unwrap();
    engines.stop_clickhouse().unwrap();
    let _squatters =
        [postgres_port, clickhouse_port].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
    engines.start_postgres().unwrap();
    engines.start_clickhouse().unwrap();
    assert_ne!(port(engines.database_url()), postgres_port);
    assert_ne!(port(engines.clickhouse_url()), clickhouse_port);
    assert_eq!(count_sql(&engines, "SELECT 1::bigint"), 1);
    assert_eq!(query(&engines.clickhouse_url(), "SELECT 1"), "1");
}

#[test]
fn postgres_has_a_socket_wherever_one_fits() {
    for (name, has_socket) in [("a \"b\", c%20$d", true), (&*"deep".repeat(30), false)] {
        let directory = passable_directory();
        let engines = Engines::start(EngineOptions {
            data_dir: directory.path().join(name),
            postgres: true,
            clickhouse: false,
            engine_program: PathBuf::new(),
        })
        .unwrap();
        let url = engines.database_socket_url().unwrap();
        assert_eq!(url.contains("127.0.0.1"), !has_socket, "{url}");
        for url in [url, engines.database_url().unwrap()] {
            let answer = ask_postgres(&url, async |client| client.query_one("SELECT 7", &[]).await.unwrap());
            assert_eq!(answer.get::<_, i32>(0), 7);
        }
    }
}

#[test]
fn clickhouse_lets_in_its_two_users_and_nobody_else() {
    let directory = passable_directory();
    let engines = start_in(directory.path()).unwrap();
    let owner = engines.clickhouse_url();
    let reader = engines.clickhouse_reader_url();
    query(&owner, "CREATE TABLE ricochet.seen (id UInt64) ENGINE = MergeTree ORDER BY id");
    query(&owner, "INSERT INTO ricochet.seen VALUES (1)");
    query(
        &owner,
        "CREATE VIEW ricochet.v_clicks DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT id FROM ricochet.seen",
    );

    // By header, by basic authentication (`curl http://user:password@…`), by the crate we use.
    assert_eq!(query(&reader, "SELECT count() FROM ricochet.v_clicks"), "1");
    assert_eq!(ask_with_basic_auth(&owner, "", "SELECT currentUser()"), (200, "ricochet".to_owned()));
    assert_eq!(ask_with_basic_auth(&reader, "", "SELECT currentUser()"), (200, "dash".to_owned()));

    let url = Url::parse(reader.as_ref().unwrap()).unwrap();
    let client = clickhouse::Client::default()
        .with_url(without_credentials(url.join("/").unwrap()))
        .with_user(url.username())
        .with_password(url.password().unwrap())
        .with_database("ricochet");
    let seen = block_on(client.query("SELECT count() FROM v_clicks").fetch_one::<u64>());
    assert_eq!(seen.unwrap(), 1);

    for forbidden in [
        "SELECT count() FROM ricochet.seen",
        "INSERT INTO ricochet.seen VALUES (2)",
        "DROP TABLE ricochet.seen",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT 1 SETTINGS max_memory_usage = 0",
    ] {
        let (status, answer) = ask_by_header(&reader, forbidden);
        assert_ne!(status, 200, "{forbidden}: {answer}");
    }

    let url = with_user(&owner, "default", "");
    assert_ne!(ask_by_header(&url, "SELECT 1").0, 200);
    assert_ne!(ask_with_basic_auth(&url, "", "SELECT 1").0, 200);
    assert_ne!(ask_by_header(&with_user(&owner, "ricochet", "wrong"), "SELECT 1").0, 200);
    // A reader can still call itself `default` this way; it only loses by that.
    for forbidden in ["SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM ricochet.seen"] {
        let (status, answer) = ask_with_basic_auth(&reader, "?user=default", forbidden);
        assert_ne!(status, 200, "{forbidden}: {answer}");
    }
}

#[test]
fn no_engine_outlives_a_killed_parent_and_the_next_start_finds_the_data() {
    let directory = passable_directory();
    let mut parent = start_parent(directory.path());
    assert!(processes_below(directory.path()).len() > 1);
    parent.kill().unwrap();
    parent.wait().unwrap();

    // At once, while the orphans are still shutting down.
    let engines = start_in(directory.path()).unwrap();
    assert_eq!(count_sql(&engines, "SELECT count(*) FROM kept"), 1);
    assert_eq!(query(&engines.clickhouse_url(), "SELECT count() FROM ricochet.kept"), "1");
    engines.stop().unwrap();

    let mut parent = start_parent(directory.path());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while !processes_below(directory.path()).is_empty() {
        assert!(Instant::now() < deadline, "an engine outlived its parent");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Not a test of its own: the process that the test above starts and kills.
#[test]
#[ignore = "runs as a child of the parent-death test"]
fn parent_to_be_killed() {
    let Some(directory) = std::env::var_os(PARENT_TEST_DATA_DIR).map(PathBuf::from) else { return };
    let engines = start_in(&directory).unwrap();
    run_sql(&engines, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 1 AS id");
    let url = engines.clickhouse_url();
    query(&url, "CREATE OR REPLACE TABLE ricochet.kept (id UInt64) ENGINE = MergeTree ORDER BY id");
    query(&url, "INSERT INTO ricochet.kept VALUES (1)");
    println!("\n{STARTED}");
    loop {
        std::thread::park();
    }
}

#[test]
fn the_files_of_the_graphiql_page_are_there() {
    let directory = graphiql_dir().unwrap();
    for file in [
        "graphiql/graphiql.min.js",
        "graphiql/graphiql.min.css",
        "react/umd/react.production.min.js",
        "react-dom/umd/react-dom.production.min.js",
    ] {
        assert!(directory.join(file).is_file(), "{file} is missing");
    }
}

/// As root, PostgreSQL runs as another user, and a temporary directory of mode 0700 would
/// keep that one out.
fn passable_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn start_in(directory: &Path) -> Result<Engines, EngineError> {
    Engines::start(EngineOptions {
        data_dir: directory.to_owned(),
        postgres: true,
        clickhouse: true,
        engine_program: PathBuf::from(env!("CARGO_BIN_EXE_ricochet")),
    })
}

fn start_parent(directory: &Path) -> Child {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engines::parent_to_be_killed", "--ignored", "--nocapture"])
        .env(PARENT_TEST_DATA_DIR, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(parent.stdout.take().unwrap());
    let started = output.lines().any(|line| line.unwrap() == STARTED);
    assert!(started, "the parent ended before its engines were started");
    parent
}

/// The processes, of whatever kind, that work below this directory.
fn processes_below(directory: &Path) -> Vec<Pid> {
    let works_below =
        |process: &Path| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory));
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| works_below(&entry.path()));
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw).collect()
}

fn run_sql(engines: &Engines, sql: &str) {
    with_postgres(engines, async |client| client.batch_execute(sql).await.unwrap());
}

fn count_sql(engines: &Engines, sql: &str) -> i64 {
    with_postgres(engines, async |client| client.query_one(sql, &[]).await.unwrap().get(0))
}

fn with_postgres<T>(engines: &Engines, ask: impl AsyncFnOnce(&tokio_postgres::Client) -> T) -> T {
    ask_postgres(&engines.database_url().unwrap(), ask)
}

fn ask_postgres<T>(url: &str, ask: impl AsyncFnOnce(&tokio_postgres::Client) -> T) -> T {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = ask(&client).await;
        drop(client);
        connection.await.unwrap().unwrap();
        answer
    })
}

/// The answer of a statement that must succeed.
fn query(url: &Option<String>, statement: &str) -> String {
    let (status, answer) = ask_by_header(url, statement);
    assert_eq!(status, 200, "{statement}: {answer}");
    answer
}

fn ask_by_header(url: &Option<String>, statement: &str) -> (u16, String) {
    let url = Url::parse(url.as_ref().unwrap()).unwrap();
    let request = http_client()
        .post(url.join("/").map(without_credentials).unwrap())
        .header("X-ClickHouse-User", url.username())
        .header("X-ClickHouse-Key", url.password().unwrap_or_default());
    send(request.body(statement.to_owned()))
}

fn ask_with_basic_auth(url: &Option<String>, parameters: &str, statement: &str) -> (u16, String) {
    let url = Url::parse(url.as_ref().unwrap()).unwrap();
    let request = http_client()
        .post(url.join(&format!("/{parameters}")).map(without_credentials).unwrap())
        .basic_auth(url.username(), url.password());
    send(request.body(statement.to_owned()))
}

fn with_user(url: &Option<String>, user: &str, password: &str) -> Option<String> {
    let mut url = Url::parse(url.as_ref().unwrap()).unwrap();
    url.set_username(user).unwrap();
    url.set_password(Some(password)).unwrap();
    Some(url.into())
}

fn without_credentials(mut url: Url) -> Url {
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    url
}

fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

fn send(request: reqwest::RequestBuilder) -> (u16, String) {
    block_on(async {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap().trim().to_owned())
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
