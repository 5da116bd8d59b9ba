//! `ricochet serve` as a process of its own, to be stopped as hard as a test likes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::databases::Databases;
use super::eventually;

pub struct Server {
    child: Option<Child>,
    pub address: SocketAddr,
    database_url: String,
    clickhouse_url: String,
    settings: Vec<(String, String)>,
    log: TempDir,
}

impl Server {
    /// Starts a node on a port of its own and waits until it is ready.
    pub async fn start(databases: &Databases) -> Self {
        Self::start_with(databases, &[]).await
    }

    /// The same with further settings.
    pub async fn start_with(databases: &Databases, settings: &[(&str, &str)]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut server = Self {
            child: None,
            address,
            database_url: databases.database_url.clone(),
            clickhouse_url: databases.clickhouse_url.clone(),
            settings: settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            log: tempfile::tempdir().unwrap(),
        };
        server.restart().await;
        server
    }

    /// Starts the process again, on the same port.
    pub async fn restart(&mut self) {
        self.spawn();
        self.until_ready().await;
    }

    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = File::options().append(true).create(true).open(self.log.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ricochet"))
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", &self.database_url)
            .env("CLICKHOUSE_URL", &self.clickhouse_url)
            .env("RICOCHET_LISTEN", self.address.to_string())
            .env("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.0/8,::1")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub async fn until_ready(&self) {
        let client = client();
        let url = self.url("/readyz");
        eventually(&format!("the server is ready; its log says {}", self.log()), || async {
            client.get(&url).send().await.ok().filter(|answer| answer.status() == 200)
        })
        .await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path().join("log")).unwrap_or_default()
    }

    /// What it calls itself in PostgreSQL, since its last start.
    pub fn node_id(&self) -> String {
        let log = self.log();
        let told = log.lines().rev().find(|line| line.contains("listening address=")).expect("it listens");
        let id = told.split_once("node=").expect("it says its name").1;
        id.split_whitespace().next().unwrap().to_owned()
    }

    /// For a signal while others still use it.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().unwrap().id().try_into().unwrap())
    }

    /// SIGKILL: it gets no chance to do anything.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGSTOP: it stands still, and knows nothing of it.
    pub fn stand_still(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// SIGCONT, after [`Server::stand_still`].
    pub fn go_on(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// SIGTERM, and its exit status.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the server:\n{}", self.log());
        }
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// A client that follows no redirects.
pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // The server closes connections that are idle for 5 s; a test that was busy for so long would
        // send its next request into one that is being closed.
        .pool_idle_timeout(std::time::Duration::from_secs(2))
        .build()
        .unwrap()
}
