//! `ricochet postback test`: one request, sent at once.

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::Api;
use super::constant;
use crate::cli::setup::output::Output;

const FIELDS: &str =
    "attemptId method url requestHeaders requestBody event outcome reason errorKind responseCode
    responseHeaders { name value } responseBody dnsUs connectUs tlsUs firstByteUs totalUs";

#[derive(Debug, Args)]
pub struct TestPostback {
    /// The id that `ricochet postback list` shows.
    postback_id: Uuid,
    /// Id of the conversion to fill it with; a sample without it.
    #[arg(long, value_name = "ID")]
    lead: Option<Uuid>,
    /// The event to tell it as; the conversion's last, or approve for a sample.
    #[arg(long, value_parser = constant)]
    event: Option<String>,
    #[command(flatten)]
    api: Api,
    #[command(flatten)]
    output: Output,
}

/// Fails where it was not delivered, so that a script may ask.
pub async fn run(args: &TestPostback) -> anyhow::Result<()> {
    let input = json!({ "postbackId": args.postback_id, "leadId": args.lead, "event": args.event });
    let query =
        format!("mutation($input: TestPostbackInput!) {{ testPostback(input: $input) {{ {FIELDS} }} }}");
    let tested = args.api.ask("testPostback", &query, json!({ "input": input })).await?;
    args.output.done(&shown(&tested), &tested)?;
    anyhow::ensure!(tested["outcome"] == "DELIVERED", "it was not delivered");
    Ok(())
}

/// Request and answer as they went over the line, and what they came to.
fn shown(tested: &Value) -> String {
    let text = |name: &str| tested[name].as_str().unwrap_or_default();
    let mut lines = vec![format!("{} {}", text("method"), text("url"))];
    let sent: Vec<(String, String)> = serde_json::from_str(text("requestHeaders")).unwrap_or_default();
    lines.extend(sent.iter().map(|(name, value)| format!("{name}: {value}")));
    push_body(&mut lines, text("requestBody"));
    lines.push(String::new());
    if let Some(code) = tested["responseCode"].as_u64() {
        lines.push(format!("answered {code}"));
        for header in tested["responseHeaders"].as_array().into_iter().flatten() {
            let of = |name: &str| header[name].as_str().unwrap_or_default();
            lines.push(format!("{}: {}", of("name"), of("value")));
        }
        push_body(&mut lines, text("responseBody"));
        lines.push(String::new());
    }
    let reason = text("reason");
    let colon = if reason.is_empty() { "" } else { ": " };
    lines.push(format!("{}{colon}{reason}", text("outcome").to_lowercase()));
    lines.push(timings(tested));
    lines.push(format!("attempt {} in the log, marked as a test", text("attemptId")));
    let harmless = |line: String| line.replace(|char: char| char.is_control() && char != '\n', "\u{fffd}");
    lines.into_iter().map(harmless).collect::<Vec<_>>().join("\n")
}

fn push_body(lines: &mut Vec<String>, body: &str) {
    if !body.is_empty() {
        lines.extend([String::new(), body.replace("\r\n", "\n")]);
    }
}

/// What there was of look-up, connection, TLS and answer, in milliseconds.
fn timings(tested: &Value) -> String {
    let phases =
        [("look-up", "dnsUs"), ("connect", "connectUs"), ("TLS", "tlsUs"), ("first byte", "firstByteUs")];
    let ms = |us: u64| format!("{}.{:03} ms", us / 1_000, us % 1_000);
    let taken = phases
        .iter()
        .filter_map(|(phase, name)| Some((phase, tested[*name].as_u64().filter(|us| *us > 0)?)))
        .map(|(phase, us)| format!("{phase} {}", ms(us)));
    let total = format!("total {}", ms(tested["totalUs"].as_u64().unwrap_or_default()));
    taken.chain([total]).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shown_harmless_and_no_answer_as_none() {
        let mut tested = json!({
            "attemptId": "a", "method": "POST", "url": "https://t.example/", "requestBody": "{}",
            "requestHeaders": "[[\"x-key\",\"[redacted]\"]]", "outcome": "FAILED", "reason": "answered 503",
            "responseCode": 503, "responseHeaders": [{ "name": "server", "value": "x" }],
            "responseBody": "a\u{1b}[2J\r\nb", "dnsUs": 0, "connectUs": 1_005, "tlsUs": 0, "firstByteUs": 2_000,
            "totalUs": 2_100,
        });
        assert_eq!(
            shown(&tested),
            "POST https://t.example/\nx-key: [redacted]\n\n{}\n\nanswered 503\nserver: x\n\na\u{fffd}[2J\nb\n\n\
             failed: answered 503\nconnect 1.005 ms, first byte 2.000 ms, total 2.100 ms\n\
             attempt a in the log, marked as a test"
        );
        for name in ["responseCode", "firstByteUs"] {
            tested[name] = Value::Null;
        }
        tested["responseBody"] = "".into();
        tested["reason"] = "no connection within 9 ms".into();
        let shown = shown(&tested);
        assert!(
            !shown.contains("answered") && shown.contains("failed: no connection within 9 ms\n"),
            "{shown}"
        );
    }
}
