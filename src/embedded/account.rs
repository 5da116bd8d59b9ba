//! The unprivileged user PostgreSQL runs as when ricochet runs as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{User, geteuid};

use super::error::{Doing, EngineError, Result};

const ACCOUNT_NAME: &str = "nobody";

pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to change to, or `None` when this process has no privileges to drop.
    pub(super) fn to_drop_to() -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let user =
            User::from_name(ACCOUNT_NAME).and_then(|user| user.ok_or(nix::Error::ENOENT)).doing(|| {
                format!("find the user `{ACCOUNT_NAME}`, as whom PostgreSQL runs when ricochet is root")
            })?;
        Ok(Some(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    /// The standard library also clears the supplementary groups then.
    pub(super) fn apply_to(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(super) fn give(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .doing(|| format!("give {} to the user `{}`", path.display(), self.name))
    }

    /// Checks that every directory above `wanted` lets others pass. Access lists are not
    /// looked at: a directory opened by one of those alone is refused too, with a remedy.
    pub(super) fn check_way_to(&self, wanted: &Path, remedy: &'static str) -> Result<()> {
        for directory in wanted.ancestors().skip(1) {
            let metadata = fs::metadata(directory).doing(|| format!("look at {}", directory.display()))?;
            let passable = if metadata.uid() == self.uid { 0o100 } else { 0o001 };
            if metadata.mode() & passable == 0 {
                return Err(EngineError::ClosedDirectory {
                    account: self.name.clone(),
                    closed: directory.to_owned(),
                    wanted: wanted.to_owned(),
                    remedy,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_closed_directory_on_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let account = Account { name: "somebody".to_owned(), uid: u32::MAX - 1, gid: u32::MAX - 1 };
        let wanted = directory.path().join("data");
        let refused = account.check_way_to(&wanted, "pass another --data-dir").unwrap_err().to_string();
        assert!(refused.contains(&format!("chmod o+x {}", directory.path().display())), "{refused}");
    }
}
