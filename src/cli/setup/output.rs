//! What the commands print: tables for people, ids for shells, JSON for scripts.

use std::fmt::{Display, Write as _};
use std::io::{ErrorKind, Write as _};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cli::token::{Database, connect};
use crate::store::Pool;

/// What every command on the database takes.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    pub output: Output,
}

impl Common {
    pub fn pool(&self) -> anyhow::Result<Pool> {
        connect(&self.database)
    }
}

#[derive(Debug, Args)]
pub struct Output {
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

impl Output {
    /// What was made: its id (or secret) alone, or all of it as JSON.
    pub fn made(&self, id: impl Display, row: &impl Serialize) -> anyhow::Result<()> {
        if self.json { print_json(row) } else { print(&format!("{id}\n")) }
    }

    /// A list, as a table of some of its fields.
    pub fn rows(&self, rows: &[impl Serialize], columns: &[&str]) -> anyhow::Result<()> {
        if self.json {
            return print_json(&rows);
        }
        if rows.is_empty() {
            eprintln!("There are none.");
            return Ok(());
        }
        let rows = rows.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        print(&table(&rows, columns))
    }

    /// Texts, one a line, or what holds them as JSON.
    pub fn lines(&self, lines: &[String], row: &impl Serialize) -> anyhow::Result<()> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if self.json { print_json(row) } else { print(&text) }
    }

    /// One thing, a field a line.
    pub fn row(&self, row: &impl Serialize) -> anyhow::Result<()> {
        if self.json { print_json(row) } else { print(&fields(&serde_json::to_value(row)?)) }
    }

    /// A sentence, or what it says as JSON.
    pub fn done(&self, sentence: &str, row: &impl Serialize) -> anyhow::Result<()> {
        if self.json { print_json(row) } else { print(&format!("{sentence}\n")) }
    }
}

fn print_json(row: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(row)? + "\n"))
}

/// A reader that has seen enough, such as `head`, is no fault.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn table(rows: &[Value], columns: &[&str]) -> String {
    let headings = columns.iter().map(|column| column.replace('_', " ").to_uppercase()).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|column| cell(column, &row[*column])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(headings).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut table = String::new();
    for line in &lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        table += padded.collect::<Vec<_>>().join("  ").trim_end();
        table.push('\n');
    }
    table
}

fn fields(row: &Value) -> String {
    let row: Vec<_> = row.as_object().into_iter().flatten().collect();
    let width = row.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in row {
        let name = format!("{}:", name.replace('_', " "));
        let _ = writeln!(text, "{name:<width$}  {}", cell(name.trim_end_matches(':'), value));
    }
    text
}

/// One line of text without control characters: some of it was sent by strangers, and a terminal
/// would obey it.
fn cell(name: &str, value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(time) if is_time(name) => time.chars().take(16).collect::<String>().replace('T', " "),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(|item| cell("", item)).collect::<Vec<_>>().join(", "),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

fn is_time(name: &str) -> bool {
    name == "oldest" || name.ends_with("_at") || name.ends_with(" at")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_aligned_and_harmless() {
        let rows = [
            json!({ "name": "Größe", "is_paused": false, "at": 1, "events": ["hold", "approve"] }),
            json!({ "name": "a\u{1b}[2J\nb", "is_paused": true, "events": [] }),
        ];
        let shown = table(&rows, &["name", "is_paused", "events", "at"]);
        assert_eq!(
            shown,
            "NAME     IS PAUSED  EVENTS         AT\n\
             Größe    no         hold, approve  1\n\
             a\u{fffd}[2J\u{fffd}b  yes        -              -\n"
        );
    }

    #[test]
    fn fields_stand_one_a_line_and_times_are_short() {
        let row = json!({ "name": "Shop", "created_at": "2026-11-21T01:55:55.123456Z", "window": null });
        assert_eq!(fields(&row), "name:        Shop\ncreated at:  2026-11-21 01:55\nwindow:      -\n");
    }
}
