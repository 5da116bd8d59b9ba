//! What can keep an engine from running, in sentences that name the remedy.
//!
//! Callers print these; the variants exist because some of them are worth branching on
//! (a busy data directory, a platform without engines).

use std::io;
use std::path::PathBuf;

pub type Result<T> = std::result::Result<T, EngineError>;

const OWN_SERVERS: &str =
    "set DATABASE_URL and CLICKHOUSE_URL to servers of your own (docker-compose.yml starts both)";

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "The embedded engines run on linux-x64 with glibc, and this program was built for {platform}. \
         To go on, {OWN_SERVERS}."
    )]
    UnsupportedPlatform { platform: String },

    #[error(
        "Cannot install {what}: there is no npm on PATH. Install Node.js 20 or later, which brings npm; or {OWN_SERVERS}."
    )]
    NpmMissing { what: &'static str },

    #[error(
        "npm could not install {what}. When the network or the registry is the reason, try again later; or {OWN_SERVERS}. npm said:\n{said}"
    )]
    NpmFailed { what: &'static str, said: String },

    #[error(
        "Found no place to keep the engines: neither HOME nor XDG_CACHE_HOME is set. Set RICOCHET_CACHE_DIR to a directory that may grow to 700 MB."
    )]
    NoCacheDirectory,

    #[error("{} is in use by another running ricochet (process {owner}). Stop that one, or pass another --data-dir.", .data_dir.display())]
    DataDirectoryInUse { data_dir: PathBuf, owner: String },

    #[error(
        "PostgreSQL refuses to run as root, so it runs as `{account}`, and that user cannot enter {}, on the way to {}. \
         Move it elsewhere ({remedy}), or allow passing through with `chmod o+x {}`.",
        .closed.display(), .wanted.display(), .closed.display()
    )]
    ClosedDirectory { account: String, closed: PathBuf, wanted: PathBuf, remedy: &'static str },

    #[error("{engine} did not start: {reason}. Its log is {}.{}", .log.display(), quoted_log(.log_tail))]
    DidNotStart { engine: &'static str, reason: String, log: PathBuf, log_tail: String },

    #[error("{engine} refused a statement at its start: {answer}")]
    StatementRefused { engine: &'static str, answer: String },

    #[error("{engine} was left out when the engines were started.")]
    NotRequested { engine: &'static str },

    #[error("Could not {doing}: {source}.")]
    Io { doing: String, source: io::Error },
}

fn quoted_log(log_tail: &str) -> String {
    if log_tail.is_empty() { String::new() } else { format!(" It ends with:\n{log_tail}") }
}

/// Says what was being tried when an input or output operation failed.
pub(super) trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| EngineError::Io { doing: doing(), source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(io::Error::from).doing(doing)
    }
}
