//! One attempt as one line for people.

use std::fmt::Write as _;

use serde_json::Value;

/// Whether lines bear colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Coloured,
}

/// `12:00:01.123  DELIVERED  200  approve approved  #1  34 ms  GET https://…`, and why not where it was not.
///
/// Without control characters: some of it was written by strangers, and a terminal would obey it.
pub fn line(attempt: &Value, paint: Paint) -> String {
    let text = |name: &str| harmless(attempt[name].as_str().unwrap_or_default());
    let outcome = text("outcome");
    let (colour, reset, faint) = match paint {
        Paint::Plain => ("", "", ""),
        Paint::Coloured => (colour_of(&outcome), "\u{1b}[0m", "\u{1b}[2m"),
    };
    let started_at = text("startedAt");
    let time = started_at.split_once('T').map_or(started_at.as_str(), |(_, time)| time);
    let time: String = time.chars().take(12).collect();
    let code = attempt["responseCode"].as_u64().map_or("-".to_owned(), |code| code.to_string());
    let status = attempt["status"].as_str().unwrap_or("-").to_lowercase();
    let mut line = format!(
        "{faint}{time}{reset}  {colour}{outcome:<9}{reset}  {code:>3}  {} {status}  #{}  {}  {} {}",
        text("event").to_lowercase(),
        attempt["attempt"].as_u64().unwrap_or_default(),
        duration(attempt["totalUs"].as_u64().unwrap_or_default()),
        text("method"),
        text("url"),
    );
    let reason = text("reason");
    if !reason.is_empty() {
        let _ = write!(line, "  {colour}{reason}{reset}");
    }
    line
}

fn colour_of(outcome: &str) -> &'static str {
    match outcome {
        "DELIVERED" => "\u{1b}[32m",
        "RETRYING" => "\u{1b}[33m",
        "FAILED" => "\u{1b}[31m",
        _ => "\u{1b}[36m",
    }
}

fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn harmless(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attempt() -> Value {
        json!({
            "startedAt": "2026-11-21T12:00:01.123456Z", "outcome": "FAILED", "responseCode": 404, "event": "SALE",
            "status": "APPROVED", "attempt": 2, "totalUs": 34_567, "method": "GET",
            "url": "https://t.example/p?x=\u{1b}[2J", "reason": "answered 404",
        })
    }

    #[test]
    fn a_line_says_it_all_and_obeys_nobody() {
        assert_eq!(
            line(&attempt(), Paint::Plain),
            "12:00:01.123  FAILED     404  sale approved  #2  34 ms  GET https://t.example/p?x=\u{fffd}[2J  answered 404"
        );
    }

    #[test]
    fn colours_are_ours_alone() {
        let painted = line(&attempt(), Paint::Coloured);
        assert!(painted.contains("\u{1b}[31mFAILED"), "{painted:?}");
        assert!(!painted.contains("\u{1b}[2J"), "{painted:?}");
    }
}
