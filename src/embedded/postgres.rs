//! PostgreSQL as a child process, on loopback and on a socket in its directory.
//!
//! The cluster is made once (`initdb`, then the database `ricochet` in single-user mode) under
//! another name and renamed when complete, so that a start that was cut short leaves nothing
//! half made. Data is as safe as on a real server: `fsync` and `synchronous_commit` stay on.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::slice;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::account::Account;
use super::data_dir::{DataDir, PortMemory, is_free, password_in};
use super::error::{Doing, EngineError, Result};
use super::install::{POSTGRES_HOME, last_lines};
use super::log_file::LogFile;
use super::process::{Spawner, Workplace, pid_of, signal_when_parent_dies, wait_for_exit, wait_until};

const NAME: &str = "PostgreSQL";
const DIRECTORY: &str = "postgres";
const USER: &str = "ricochet";
const DATABASE: &str = "ricochet";

/// Crash recovery of a gigabyte of log takes a while on a slow disk.
const START_PATIENCE: Duration = Duration::from_secs(120);
const FAST_STOP_PATIENCE: Duration = Duration::from_secs(10);
const IMMEDIATE_STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Another program may take the chosen port between the choice and the start.
const PORT_ATTEMPTS: usize = 3;

/// Bytes a process keeps of what it has freed, and takes in advance.
const KEPT_MEMORY: &str = "4194304";

/// For two cores that the service, ClickHouse and a load generator share.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "100"),
    ("shared_buffers", "256MB"),
    ("effective_cache_size", "1GB"),
    ("random_page_cost", "1.1"),
    // A burst of postbacks must not meet a checkpoint every few seconds.
    ("max_wal_size", "4GB"),
    ("min_wal_size", "256MB"),
    ("checkpoint_timeout", "15min"),
    ("autovacuum_naptime", "15s"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] "),
    ("log_min_messages", "warning"),
];

pub(super) struct Postgres {
    /// The unpacked package: `bin`, `lib` and `share`.
    home: PathBuf,
    cluster: Workplace,
    /// Where its socket is. `None` where the path is too long for one.
    sockets: Option<PathBuf>,
    log: PathBuf,
    account: Option<Account>,
    password: String,
    ports: PortMemory,
    running: Option<Running>,
}

struct Running {
    postmaster: Child,
    port: u16,
}

impl Postgres {
    /// Says early, before anything is downloaded, that the server could not reach its data.
    pub(super) fn check_way_to(data_dir: &DataDir) -> Result<()> {
        match Account::to_drop_to()? {
            None => Ok(()),
            Some(account) => account.check_way_to(
                &data_dir.path().join(DIRECTORY),
                "pass a --data-dir such as /var/lib/ricochet",
            ),
        }
    }

    /// Makes the cluster unless there is one; starts nothing yet.
    pub(super) fn prepare(data_dir: &DataDir, node_modules: &Path) -> Result<Self> {
        let home = node_modules.join(POSTGRES_HOME);
        let directory = data_dir.private_directory(DIRECTORY)?;
        let account = Account::to_drop_to()?;
        let password_path = directory.join("password");
        let password = password_in(&password_path)?;
        if let Some(account) = &account {
            account.check_way_to(
                &home.join("bin"),
                "set RICOCHET_CACHE_DIR to a directory such as /var/cache/ricochet",
            )?;
            account.give(&directory)?;
            account.give(&password_path)?;
        }
        let postgres = Self {
            home,
            log: directory.join("postgres.log"),
            sockets: fits_a_socket(&directory).then(|| directory.clone()),
            cluster: Workplace { directory: directory.join("cluster"), is_engine: is_postgres },
            account,
            password,
            ports: PortMemory::in_directory(&directory),
            running: None,
        };
        if !postgres.cluster.directory.exists() {
            postgres.create_cluster(&directory, &password_path)?;
        }
        Ok(postgres)
    }

    fn create_cluster(&self, directory: &Path, password_path: &Path) -> Result<()> {
        let partial = directory.join("cluster.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).doing(|| format!("remove {}", partial.display()))?;
        }
        let mut initdb = self.program("initdb");
        initdb
            .current_dir(directory)
            .args(["--username", USER, "--encoding", "UTF8", "--locale", "C", "--auth", "scram-sha-256"])
            .arg("--pwfile")
            .arg(password_path)
            .arg("--pgdata")
            .arg(&partial);
        signal_when_parent_dies(&mut initdb, Signal::SIGKILL);
        self.expect_success("initdb", initdb.output())?;

        let mut single_user = self.program("postgres");
        single_user.args(["--single", "-c", "exit_on_error=true", "-D"]).arg(&partial).arg("postgres");
        let output = feed(single_user.current_dir(directory), &format!("CREATE DATABASE {DATABASE};\n"));
        self.expect_success("postgres --single", output)?;

        let cluster = &self.cluster.directory;
        fs::rename(&partial, cluster).doing(|| format!("move {} into place", partial.display()))
    }

    fn expect_success(&self, program: &str, output: io::Result<Output>) -> Result<()> {
        let output = output.doing(|| format!("run {program} from {}", self.home.display()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(EngineError::DidNotStart {
            engine: NAME,
            reason: format!("{program} failed with {}", output.status),
            log: self.log.clone(),
            log_tail: last_lines(&String::from_utf8_lossy(&output.stderr), 12),
        })
    }

    /// Starts the server, on the port of last time if that is free; nothing if it runs.
    pub(super) fn start(&mut self, spawner: &Spawner) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        self.await_former_run();
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

    /// A ricochet that was killed leaves a postmaster that is shutting down, or (killed in a
    /// way that outran the parent-death signal) one that still serves.
    fn await_former_run(&self) {
        let pid_file = self.cluster.directory.join("postmaster.pid");
        let Some(postmaster) = pid_in(&pid_file) else {
            return self.cluster.clear_out(FAST_STOP_PATIENCE);
        };
        if self.cluster.processes().contains(&postmaster) {
            let _ = kill(postmaster, Signal::SIGINT);
        }
        self.cluster.clear_out(FAST_STOP_PATIENCE);
        // The number may belong to a zombie nobody reaps, or to another program by now.
        // PostgreSQL cannot tell that from a running postmaster and would refuse to start.
        if kill(postmaster, None).is_ok() {
            let _ = fs::remove_file(&pid_file);
        }
    }

    fn start_on(&mut self, port: u16, spawner: &Spawner) -> Result<()> {
        let (log, file) = LogFile::open(&self.log)?;
        let mut command = self.program("postgres");
        command.arg("-D").arg(&self.cluster.directory).args(["-c", &format!("port={port}")]);
        for (setting, value) in SETTINGS {
            command.args(["-c", &format!("{setting}={value}")]);
        }
        let sockets = self.sockets.as_deref().unwrap_or(Path::new(""));
        command.arg("-c").arg(quoted_list("unix_socket_directories", sockets));
        command
            .current_dir(self.cluster.directory.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(file.try_clone().doing(|| format!("open {} twice", self.log.display()))?)
            .stderr(file)
            .process_group(0); // Ctrl-C in the terminal is for ricochet, which then stops this.
        signal_when_parent_dies(&mut command, Signal::SIGINT); // A fast shutdown.
        let mut postmaster = spawner.spawn(command).doing(|| format!("start {NAME}"))?;

        let mut exit = Ok(None);
        let answered = wait_until(START_PATIENCE, || {
            exit = postmaster.try_wait();
            !matches!(exit, Ok(None)) || self.is_ready(pid_of(&postmaster))
        });
        let exit = exit.doing(|| format!("wait for {NAME}"))?;
        self.running = Some(Running { postmaster, port });
        if exit.is_none() && answered {
            return self.ports.remember(port);
        }
        self.kill()?;
        let reason = match exit {
            Some(status) => format!("it ended with {status}"),
            None => format!("it was not ready after {} s", START_PATIENCE.as_secs()),
        };
        Err(log.did_not_start(NAME, reason))
    }

    fn is_ready(&self, postmaster: Pid) -> bool {
        let status = fs::read_to_string(self.cluster.directory.join("postmaster.pid")).unwrap_or_default();
        let mut lines = status.lines();
        lines.next().and_then(|pid| pid.trim().parse().ok()) == Some(postmaster.as_raw())
            && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    /// Stops as a careful operator would: clients are cut off, what they committed stays.
    pub(super) fn stop(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let pid = pid_of(&running.postmaster);
        for (signal, patience) in
            [(Signal::SIGINT, FAST_STOP_PATIENCE), (Signal::SIGQUIT, IMMEDIATE_STOP_PATIENCE)]
        {
            let _ = kill(pid, signal);
            let exit = wait_for_exit(&mut running.postmaster, patience);
            if exit.doing(|| format!("wait for {NAME}"))?.is_some() {
                self.running = None;
                return Ok(());
            }
        }
        self.kill()
    }

    /// Ends every process of the server at once, as a power cut would.
    pub(super) fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let _ = running.postmaster.kill();
        running.postmaster.wait().doing(|| format!("wait for {NAME}"))?;
        self.cluster.kill_all();
        Ok(())
    }

    /// `None` while it does not run.
    pub(super) fn url(&self) -> Option<String> {
        self.url_by("127.0.0.1")
    }

    /// The same by its socket, which costs both sides less than a connection to loopback; where it
    /// has none, by loopback.
    pub(super) fn socket_url(&self) -> Option<String> {
        match &self.sockets {
            Some(directory) => {
                self.url_by(&percent_encode(directory.as_os_str().as_bytes(), NON_ALPHANUMERIC).to_string())
            }
            None => self.url(),
        }
    }

    fn url_by(&self, host: &str) -> Option<String> {
        let port = self.running.as_ref()?.port;
        Some(format!("postgres://{USER}:{}@{host}:{port}/{DATABASE}", self.password))
    }

    /// A program of the package, in an environment where no PGDATA or PGPORT misleads it.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.home.join("bin").join(name));
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        // A statement's memory is kept for the next one: glibc gave it back to the kernel every
        // time, and a tenth of PostgreSQL's time went into getting it anew.
        command.env("MALLOC_TRIM_THRESHOLD_", KEPT_MEMORY).env("MALLOC_TOP_PAD_", KEPT_MEMORY);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path); // initdb runs small helpers by a shell.
        }
        if let Some(account) = &self.account {
            account.apply_to(&mut command);
        }
        command
    }
}

/// Whether the kernel takes the path of a socket in this directory: 107 bytes, on whatever port.
fn fits_a_socket(directory: &Path) -> bool {
    directory.join(".s.PGSQL.65535").as_os_str().len() <= 107
}

/// A setting that is a list of one, in quotes: a comma in a path would make two of it.
fn quoted_list(setting: &str, path: &Path) -> OsString {
    let path = path.as_os_str().as_bytes();
    let mut argument = format!("{setting}=").into_bytes();
    if !path.is_empty() {
        argument.push(b'"');
        for byte in path {
            argument.extend_from_slice(if *byte == b'"' { b"\"\"" } else { slice::from_ref(byte) });
        }
        argument.push(b'"');
    }
    OsString::from_vec(argument)
}

/// The postmaster bears its program's path, the processes it forks a title.
fn is_postgres(words: &[&str]) -> bool {
    words
        .first()
        .is_some_and(|program| program.starts_with("postgres:") || program.ends_with("/bin/postgres"))
}

fn pid_in(pid_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(pid_file).ok()?;
    text.lines().next()?.trim().parse().ok().map(Pid::from_raw)
}

fn feed(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}
