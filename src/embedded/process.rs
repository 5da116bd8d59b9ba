//! Child processes: who spawns them, what ends them, how long one waits for them, and what a dead parent left.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use super::error::{Doing, Result};

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The thread that spawns every engine.
///
/// A child's parent-death signal is sent when the *thread* that spawned it ends, so this one
/// lives as long as the engines do and does nothing else. The queue holds at most the one
/// request its caller is waiting for.
pub(super) struct Spawner {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    command: Command,
    spawned: mpsc::Sender<io::Result<Child>>,
}

impl Spawner {
    pub(super) fn start() -> Result<Self> {
        let (requests, received) = mpsc::channel::<Request>();
        let thread = thread::Builder::new()
            .name("engine-spawner".to_owned())
            .spawn(move || {
                for Request { mut command, spawned } in received {
                    let _ = spawned.send(command.spawn());
                }
            })
            .doing(|| "start a thread".to_owned())?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    pub(super) fn spawn(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the spawner thread has ended");
        let (spawned, answer) = mpsc::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(Request { command, spawned }).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Has the kernel signal the child when the thread that spawned it ends. A change of user
/// clears such a request, but the standard library makes that change before this.
pub(super) fn signal_when_parent_dies(command: &mut Command, signal: Signal) {
    let parent = getpid();
    // SAFETY: prctl and getppid are async-signal-safe, and the closure allocates nothing.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(signal)?;
            if getppid() != parent {
                return Err(io::ErrorKind::BrokenPipe.into()); // It died before we asked.
            }
            Ok(())
        });
    }
}

/// Polls until `condition` holds; false when the deadline came first.
pub(super) fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Waits for a child to end, which also keeps it from staying behind as a zombie.
pub(super) fn wait_for_exit(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let mut outcome = Ok(None);
    wait_until(patience, || {
        outcome = child.try_wait();
        !matches!(outcome, Ok(None))
    });
    outcome
}

pub(super) fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// A directory that every process of one engine works in, also the PostgreSQL backends that
/// outlive a killed postmaster for a moment. It finds what a former run left behind.
pub(super) struct Workplace {
    pub directory: PathBuf,
    /// Tells the engine's processes by their command line from a person's shell in there.
    pub is_engine: fn(&[&str]) -> bool,
}

impl Workplace {
    pub(super) fn processes(&self) -> Vec<Pid> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| self.is_place_of(&entry.path()))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .map(Pid::from_raw)
            .collect()
    }

    fn is_place_of(&self, process: &Path) -> bool {
        if !fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == self.directory) {
            return false;
        }
        let command_line = fs::read(process.join("cmdline")).unwrap_or_default();
        let command_line = String::from_utf8_lossy(&command_line);
        (self.is_engine)(&command_line.split('\0').collect::<Vec<_>>())
    }

    pub(super) fn kill_all(&self) {
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        wait_until(Duration::from_secs(5), || self.processes().is_empty());
    }

    /// Waits until no process of the engine is left, and kills those that stay too long.
    pub(super) fn clear_out(&self, patience: Duration) {
        if wait_until(patience, || self.processes().is_empty()) {
            return;
        }
        let directory = self.directory.display();
        tracing::warn!(%directory, "Killing the engine processes that a former run left behind.");
        self.kill_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clears_out_the_engine_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let spawner = Spawner::start().unwrap();
        let sleep_for = |seconds: &str| {
            let mut command = Command::new("sleep");
            command.arg(seconds).current_dir(&directory);
            spawner.spawn(command).unwrap()
        };
        let (mut engine, mut bystander) = (sleep_for("61"), sleep_for("62"));

        let workplace = Workplace { directory, is_engine: |words| words.get(1) == Some(&"61") };
        // A process that has just begun has no command line for a moment.
        let found = wait_until(Duration::from_secs(5), || workplace.processes() == [pid_of(&engine)]);
        assert!(found, "{:?}", workplace.processes());
        workplace.clear_out(Duration::ZERO);
        assert!(wait_for_exit(&mut engine, Duration::from_secs(5)).unwrap().is_some());
        assert!(bystander.try_wait().unwrap().is_none());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
