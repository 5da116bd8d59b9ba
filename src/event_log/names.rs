//! What the ids of the log are called: the table `names`, and what of it ClickHouse has still to
//! be told.

use std::collections::HashMap;

use serde::Serialize;
use uuid::Uuid;

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    Partner,
    Advertiser,
    Offer,
    Postback,
}

/// Whether a postback sends; the others are always active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameState {
    Active,
    Paused,
    Deleted,
}

/// A row of `names`; fields bear the names of its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameRow {
    pub kind: NameKind,
    pub id: Uuid,
    pub name: String,
    pub owner: &'static str,
    pub partner_id: Option<Uuid>,
    pub advertiser_id: Option<Uuid>,
    pub offer_id: Option<Uuid>,
    pub destination: String,
    pub events: Vec<String>,
    pub state: NameState,
}

impl NameRow {
    /// Of a thing that is nobody's and can only be active.
    pub fn plain(kind: NameKind, id: Uuid, name: String) -> Self {
        Self {
            kind,
            id,
            name,
            owner: "",
            partner_id: None,
            advertiser_id: None,
            offer_id: None,
            destination: String::new(),
            events: Vec::new(),
            state: NameState::Active,
        }
    }
}

/// All names as of one version of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub version: i64,
    pub rows: Vec<NameRow>,
}

/// What this node has told ClickHouse. Bound: one entry for everything that has a name, as in the
/// catalogue.
///
/// Every node tells what it sees change. Of rows that two nodes tell, ClickHouse keeps the one of
/// the higher version, so a slow node does not bring an old name back.
#[derive(Debug, Default)]
pub struct NameBook {
    version: Option<i64>,
    told: HashMap<(NameKind, Uuid), NameRow>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    row: &'a NameRow,
    version: i64,
}

impl NameBook {
    /// Whether everything of this version has been told.
    pub fn is_of(&self, version: i64) -> bool {
        self.version == Some(version)
    }

    /// What differs from what was told, as JSONEachRow; empty where nothing does.
    pub fn lines_to_tell(&self, names: &Names) -> Vec<u8> {
        let mut lines = Vec::new();
        for row in &names.rows {
            if self.told.get(&(row.kind, row.id)) != Some(row) {
                let line = Line { row, version: names.version };
                serde_json::to_writer(&mut lines, &line).expect("names hold nothing JSON cannot");
                lines.push(b'\n');
            }
        }
        lines
    }

    /// ClickHouse has confirmed all of these.
    pub fn note_told(&mut self, names: Names) {
        self.version = Some(names.version);
        self.told = names.rows.into_iter().map(|row| ((row.kind, row.id), row)).collect();
    }
}

/// The host of a URL template, macros and all, in lower case; never what stands before an `@`,
/// which may be a password.
pub fn host_of(url_template: &str) -> String {
    let after_scheme = url_template.split_once("://").map_or(url_template, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let host = match host_and_port.split_once(']') {
        Some((address, _)) => address.trim_start_matches('['),
        None => host_and_port.split(':').next().unwrap_or_default(),
    };
    host.trim().to_lowercase()
}

/// What people tell one postback from another by: its host and what it is told.
pub fn postback_name(destination: &str, events: &[String]) -> String {
    /// Past these, a count says enough.
    const SHOWN: usize = 3;
    let shown = events.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match events.len().checked_sub(SHOWN) {
        None | Some(0) => format!("{destination} ({shown})"),
        Some(more) => format!("{destination} ({shown} and {more} more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner(id: u128, name: &str) -> NameRow {
        NameRow::plain(NameKind::Partner, Uuid::from_u128(id), name.into())
    }

    fn told(book: &NameBook, names: &Names) -> String {
        String::from_utf8(book.lines_to_tell(names)).unwrap()
    }

    #[test]
    fn only_what_changed_is_told_again() {
        let mut book = NameBook::default();
        let first = Names { version: 4, rows: vec![partner(1, "North"), partner(2, "South")] };
        assert!(!book.is_of(4));
        assert_eq!(told(&book, &first).lines().count(), 2);
        book.note_told(first.clone());
        assert!(book.is_of(4));
        assert_eq!(told(&book, &Names { version: 5, ..first }), "");

        let renamed = Names { version: 6, rows: vec![partner(1, "North"), partner(2, "Deep South")] };
        let line: serde_json::Value = serde_json::from_str(&told(&book, &renamed)).unwrap();
        assert_eq!(line["name"], "Deep South");
        assert_eq!(line["kind"], "partner");
        assert_eq!(line["state"], "active");
        assert_eq!(line["version"], 6);
    }

    #[test]
    fn a_host_is_told_without_user_port_and_path() {
        for (template, host) in [
            ("https://Track.Example/p?cid={clickid}", "track.example"),
            ("http://user:pass@track.example:8080/p", "track.example"),
            ("https://{sub1}.track.example?x=1", "{sub1}.track.example"),
            ("http://[2001:db8::1]:80/p", "2001:db8::1"),
            ("https://track.example#part", "track.example"),
        ] {
            assert_eq!(host_of(template), host, "{template}");
        }
    }

    #[test]
    fn a_postback_is_named_by_host_and_events() {
        let events = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            postback_name("t.example", &events(&["sale", "ftd", "approve"])),
            "t.example (sale, ftd, approve)"
        );
        assert_eq!(
            postback_name("t.example", &events(&["sale", "ftd", "approve", "reject", "hold"])),
            "t.example (sale, ftd, approve and 2 more)"
        );
    }
}
