//! What the tracker has received: the newest in memory, all of it in a file.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Kept in memory; the oldest goes when another comes. The file keeps all.
const KEPT: usize = 10_000;

/// Names under which trackers' postbacks carry the click id and the transaction.
pub const CLICK_ID_NAMES: &[&str] = &["clickid", "cid", "click_id", "subid"];
pub const TRANSACTION_NAMES: &[&str] = &["txid", "tx", "tid", "request_id"];

/// One request, and one line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub received_at: String,
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: String,
}

pub struct Journal {
    file: File,
    newest_last: VecDeque<Received>,
}

impl Journal {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("the demo tracker's log {} cannot be opened", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(failed)?;
        }
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).with_context(failed)?;
        let mut newest_last = VecDeque::new();
        let mut unreadable = 0_usize;
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        let mut is_torn = false;
        while lines.read_until(b'\n', &mut line).with_context(failed)? > 0 {
            is_torn = !line.ends_with(b"\n");
            match serde_json::from_slice(&line) {
                Ok(received) => push_bounded(&mut newest_last, received),
                Err(_) => unreadable += 1,
            }
            line.clear();
        }
        if unreadable > 0 {
            tracing::warn!("{unreadable} lines of {} are not readable and are left out", path.display());
        }
        if is_torn {
            // A run was killed while writing; the next line must not be glued to its last one.
            file.write_all(b"\n").with_context(failed)?;
        }
        Ok(Self { file, newest_last })
    }

    /// Writes and keeps it. The write blocks for as long as one line into the page cache takes.
    pub fn keep(&mut self, received: Received) -> io::Result<()> {
        let mut line = serde_json::to_vec(&received)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        push_bounded(&mut self.newest_last, received);
        Ok(())
    }

    pub fn newest(&self, filter: &Filter, limit: usize) -> Vec<Received> {
        let matching = self.newest_last.iter().rev().filter(|received| filter.matches(received));
        matching.take(limit).cloned().collect()
    }
}

fn push_bounded(newest_last: &mut VecDeque<Received>, received: Received) {
    if newest_last.len() == KEPT {
        newest_last.pop_front();
    }
    newest_last.push_back(received);
}

/// Query parameters that must have these values. `clickid` and `txid` also match the other
/// names trackers have for them.
pub struct Filter(BTreeMap<String, String>);

impl Filter {
    pub fn new(wanted: BTreeMap<String, String>) -> Self {
        Self(wanted)
    }

    pub fn everything() -> Self {
        Self(BTreeMap::new())
    }

    fn matches(&self, received: &Received) -> bool {
        self.0.iter().all(|(name, value)| {
            let names: &[&str] = match name.as_str() {
                "clickid" => CLICK_ID_NAMES,
                "txid" => TRANSACTION_NAMES,
                other => &[other],
            };
            first_of(&received.query, names) == Some(value.as_str())
        })
    }
}

pub fn first_of<'a>(query: &'a BTreeMap<String, String>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| query.get(*name)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(cid: &str) -> Received {
        Received {
            received_at: "2026-01-01T00:00:00Z".into(),
            method: "GET".into(),
            path: "/postback".into(),
            query: [("cid".to_owned(), cid.to_owned())].into(),
            body: String::new(),
        }
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/received.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.keep(received("a")).unwrap();
        journal.file.write_all(br#"{"received_at":"2026-"#).unwrap();
        drop(journal);

        let mut journal = Journal::open(&path).unwrap();
        journal.keep(received("b")).unwrap();
        drop(journal);

        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.newest(&Filter::everything(), 9), [received("b"), received("a")]);
    }

    #[test]
    fn the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("received.jsonl")).unwrap();
        for number in 0..KEPT + 2 {
            journal.keep(received(&number.to_string())).unwrap();
        }
        assert_eq!(journal.newest_last.len(), KEPT);
        let wanted = |cid: &str| Filter::new([("clickid".to_owned(), cid.to_owned())].into());
        assert_eq!(journal.newest(&wanted("1"), 9), []);
        assert_eq!(journal.newest(&wanted("2"), 9), [received("2")]);
    }
}
