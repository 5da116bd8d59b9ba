//! ClickHouse as a child process on loopback.
//!
//! The package holds a library, not a program, so the process is this very binary under the
//! hidden subcommand of [`super::clickhouse_engine`]. It serves until its standard input ends:
//! this side keeps the other end of that pipe, and the kernel closes it when ricochet dies.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::clickhouse_config::{
    OWNER, Passwords, READER, READER_CONFIG, READER_PASSWORD_VARIABLE, server_config, users_config,
};
use super::clickhouse_engine::CLICKHOUSE_ENGINE_COMMAND;
use super::data_dir::{DataDir, PortMemory, is_free, password_in, write_secret};
use super::error::{Doing, EngineError, Result};
use super::install::CLICKHOUSE_LIBRARY;
use super::log_file::LogFile;
use super::loopback_http::post_statement;
use super::process::{Spawner, Workplace, wait_for_exit, wait_until};

const NAME: &str = "ClickHouse";
const DATABASE: &str = "ricochet";

/// Loading the parts of large tables takes a while.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// ClickHouse itself waits up to five seconds for open connections.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Another program may take the chosen port between the choice and the start.
const PORT_ATTEMPTS: usize = 3;

pub(super) struct ClickHouse {
    engine_program: PathBuf,
    library: PathBuf,
    place: Workplace,
    passwords: Passwords,
    ports: PortMemory,
    running: Option<Running>,
}

struct Running {
    /// Its standard input is what keeps it alive.
    engine: Child,
    port: u16,
}

impl ClickHouse {
    pub(super) fn prepare(data_dir: &DataDir, node_modules: &Path, engine_program: PathBuf) -> Result<Self> {
        let directory = data_dir.private_directory("clickhouse")?;
        let passwords = Passwords {
            owner: password_in(&directory.join("password"))?,
            reader: password_in(&directory.join("reader-password"))?,
        };
        for name in ["data", "tmp", "users.d"] {
            let path = directory.join(name);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .doing(|| format!("create {}", path.display()))?;
        }
        Ok(Self {
            engine_program,
            library: node_modules.join(CLICKHOUSE_LIBRARY),
            ports: PortMemory::in_directory(&directory),
            place: Workplace {
                directory,
                is_engine: |words| words.get(1) == Some(&CLICKHOUSE_ENGINE_COMMAND),
            },
            passwords,
            running: None,
        })
    }

    /// Starts the server, on the port of last time if that is free; nothing if it runs.
    pub(super) fn start(&mut self, spawner: &Spawner) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        // A ricochet that was killed leaves an engine that is shutting down: it has the data
        // locked, and a second one would be refused.
        self.place.clear_out(STOP_PATIENCE);
        for _ in 1..PORT_ATTEMPTS {
            let port = self.ports.choose()?;
            match self.start_on(port, spawner) {
                Err(_) if !is_free(port) => {}
                outcome => return outcome,
            }
        }
        let port = self.ports.choose()?;
        self.start_on(port, spawner)
    }

    fn start_on(&mut self, port: u16, spawner: &Spawner) -> Result<()> {
        let directory = &self.place.directory;
        let config = directory.join("config.xml");
        write_secret(&config, &server_config(directory, port))?;
        write_secret(&directory.join("users.xml"), &users_config(&self.passwords.owner))?;
        write_secret(&directory.join("users.d/dash.xml"), READER_CONFIG)?;

        let log_path = directory.join("clickhouse.log");
        let (log, file) = LogFile::open(&log_path)?;
        let mut command = Command::new(&self.engine_program);
        command
            .arg(CLICKHOUSE_ENGINE_COMMAND)
            .arg(&self.library)
            .arg(&config)
            .env_clear() // No client configuration from the home directory, no variables.
            .env("HOME", directory)
            .env("TZ", "UTC")
            .env(READER_PASSWORD_VARIABLE, &self.passwords.reader)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().doing(|| format!("open {} twice", log_path.display()))?)
            .stderr(file);
        let engine = spawner.spawn(command).doing(|| format!("start {}", self.engine_program.display()))?;
        let running = self.running.insert(Running { engine, port });

        match await_answer(running, &self.passwords) {
            StartOutcome::Ready => self.ports.remember(port),
            StartOutcome::Refused(answer) => {
                self.kill()?;
                Err(EngineError::StatementRefused { engine: NAME, answer })
            }
            StartOutcome::Ended(status) => {
                self.running = None;
                Err(log.did_not_start(NAME, format!("it ended with {status}")))
            }
            StartOutcome::Silent => {
                self.kill()?;
                let reason = format!("it did not answer within {} s", START_PATIENCE.as_secs());
                Err(log.did_not_start(NAME, reason))
            }
        }
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        drop(running.engine.stdin.take());
        let exit = wait_for_exit(&mut running.engine, STOP_PATIENCE);
        if exit.doing(|| format!("wait for {NAME}"))?.is_none() {
            return self.kill();
        }
        self.running = None;
        Ok(())
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let _ = running.engine.kill();
        running.engine.wait().doing(|| format!("wait for {NAME}"))?;
        Ok(())
    }

    /// `None` while it does not run.
    pub(super) fn url(&self) -> Option<String> {
        Some(self.url_for(OWNER, &self.passwords.owner, self.running.as_ref()?.port))
    }

    /// For dashboards: reads the views, changes nothing. `None` while it does not run.
    pub(super) fn reader_url(&self) -> Option<String> {
        Some(self.url_for(READER, &self.passwords.reader, self.running.as_ref()?.port))
    }

    fn url_for(&self, user: &str, password: &str, port: u16) -> String {
        format!("http://{user}:{password}@127.0.0.1:{port}/{DATABASE}")
    }
}

enum StartOutcome {
    Ready,
    Refused(String),
    Ended(ExitStatus),
    Silent,
}

/// Waits until the server creates the database for its owner. That says more than `/ping`,
/// which any other ClickHouse on this port would answer just as well.
fn await_answer(running: &mut Running, passwords: &Passwords) -> StartOutcome {
    let statement = format!("CREATE DATABASE IF NOT EXISTS {DATABASE}");
    let mut outcome = StartOutcome::Silent;
    wait_until(START_PATIENCE, || {
        if let Ok(Some(status)) = running.engine.try_wait() {
            outcome = StartOutcome::Ended(status);
            return true;
        }
        match post_statement(running.port, OWNER, &passwords.owner, &statement) {
            Ok((200, _)) => outcome = StartOutcome::Ready,
            Ok((_, answer)) => outcome = StartOutcome::Refused(answer.trim().to_owned()),
            Err(_) => return false, // Not listening yet.
        }
        true
    });
    outcome
}
