//! The directory that holds the engines' data, and the small things remembered in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Doing, EngineError, Result};
use super::install::create_public_directory;
use super::process::wait_until;

/// A killed owner holds its lock until the kernel has taken it apart.
const OWNER_DEATH_PATIENCE: Duration = Duration::from_secs(1);

/// A data directory that belongs to this process until the value is dropped.
/// The lock is a `flock`: the kernel gives it up when the process dies, however it dies.
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    pub(super) fn claim(path: &Path) -> Result<Self> {
        create_public_directory(path)?;
        let path = path.canonicalize().doing(|| format!("resolve {}", path.display()))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .doing(|| format!("open {}", lock_path.display()))?;
        let mut outcome = Ok(());
        wait_until(OWNER_DEATH_PATIENCE, || {
            outcome = lock.try_lock();
            !matches!(outcome, Err(TryLockError::WouldBlock))
        });
        match outcome {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&lock_path).unwrap_or_default().trim().to_owned();
                return Err(EngineError::DataDirectoryInUse { data_dir: path, owner });
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).doing(|| format!("lock {}", lock_path.display()));
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .doing(|| format!("write {}", lock_path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory of mode 0700 below the data directory.
    pub(super) fn private_directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created.doing(|| format!("create {}", path.display()))?,
        }
        Ok(path)
    }
}

/// The password in this file, made at random the first time.
pub(super) fn password_in(path: &Path) -> Result<String> {
    secret_in(path, || format!("{:032x}", rand::random::<u128>()))
}

/// The secret in this file, made the first time.
pub(super) fn secret_in(path: &Path, make: impl FnOnce() -> String) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).doing(|| format!("read {}", path.display()));
        }
        _ => {}
    }
    let secret = make();
    write_secret(path, &secret)?;
    Ok(secret)
}

/// Writes a file that only its owner can read.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .doing(|| format!("write {}", path.display()))
}

/// The port an engine had last time, so that bookmarks and connection strings keep working.
pub(super) struct PortMemory {
    path: PathBuf,
}

impl PortMemory {
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join("port") }
    }

    /// The remembered port if nobody has taken it meanwhile, else a free one.
    pub(super) fn choose(&self) -> Result<u16> {
        let remembered = fs::read_to_string(&self.path).ok().and_then(|text| text.trim().parse().ok());
        if let Some(port) = remembered.filter(|port| is_free(*port)) {
            return Ok(port);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(|| "find a free port".to_owned())?;
        Ok(listener.local_addr().doing(|| "find a free port".to_owned())?.port())
    }

    pub(super) fn remember(&self, port: u16) -> Result<()> {
        fs::write(&self.path, port.to_string()).doing(|| format!("write {}", self.path.display()))
    }
}

/// Whether an engine could listen on this loopback port now.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_and_a_free_one_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let memory = PortMemory::in_directory(directory.path());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        memory.remember(port).unwrap();
        assert_ne!(memory.choose().unwrap(), port);
        drop(listener);
        assert_eq!(memory.choose().unwrap(), port);
    }

    #[test]
    fn a_password_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let password = password_in(&path).unwrap();
        assert_eq!(password.len(), 32);
        assert_eq!(password_in(&path).unwrap(), password);
    }
}
