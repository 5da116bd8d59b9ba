//! The file an engine writes its complaints to.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{Doing, EngineError, Result};
use super::install::last_lines;

/// At a start, a larger log begins anew.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;
const QUOTED_LINES: usize = 12;

pub(super) struct LogFile {
    path: PathBuf,
    /// Where the present start's lines begin.
    start: u64,
}

impl LogFile {
    /// Opens the log for one start of an engine; the file is for the child.
    pub(super) fn open(path: &Path) -> Result<(Self, File)> {
        let doing = || format!("open {}", path.display());
        let file = OpenOptions::new().append(true).create(true).open(path).doing(doing)?;
        if file.metadata().doing(doing)?.len() > KEPT_BYTES {
            file.set_len(0).doing(doing)?;
        }
        let start = file.metadata().doing(doing)?.len();
        Ok((Self { path: path.to_owned(), start }, file))
    }

    /// The error for a start that failed, with what the engine had to say about it.
    pub(super) fn did_not_start(&self, engine: &'static str, reason: String) -> EngineError {
        let log_tail = self.lines_of_this_start().unwrap_or_default();
        EngineError::DidNotStart { engine, reason, log: self.path.clone(), log_tail }
    }

    fn lines_of_this_start(&self) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(last_lines(&String::from_utf8_lossy(&bytes), QUOTED_LINES))
    }
}
