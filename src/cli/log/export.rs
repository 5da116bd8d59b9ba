//! `ricochet export`: a log as a file.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::deliveries::{Api, LogFilter};
use crate::doors::exports::ROWS_HEADER;
use crate::event_log::reader::export::{Dataset, ExportFormat};

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// postback-log, inbound-log, clicks, conversion-events or conversions.
    #[arg(default_value = "postback-log", value_parser = dataset)]
    dataset: Dataset,
    /// Where it is written; - is standard output. While it is written, its name ends in .part.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// csv, ndjson or parquet; by default what the file's name ends in, or csv.
    #[arg(long, value_parser = format)]
    format: Option<ExportFormat>,
    #[command(flatten)]
    filter: LogFilter,
    /// A further parameter that docs/export.md lists, such as verdicts=rejected.
    #[arg(long = "with", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    #[command(flatten)]
    api: Api,
}

pub const EXAMPLES: &str = "Examples:
  ricochet export --output attempts.csv --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z
  ricochet export --outcome failed --output failed.parquet
  ricochet export inbound-log --with verdicts=rejected --output - --format ndjson | jq .reason";

fn dataset(text: &str) -> Result<Dataset, String> {
    let known: Vec<_> = Dataset::ALL.iter().map(|dataset| dataset.code()).collect();
    Dataset::from_code(text).ok_or_else(|| format!("write one of {}", known.join(", ")))
}

fn format(text: &str) -> Result<ExportFormat, String> {
    ExportFormat::from_code(&text.to_lowercase()).ok_or_else(|| "write csv, ndjson or parquet".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as verdicts=rejected")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let is_stdout = args.output == Path::new("-");
    let by_name =
        args.output.extension().and_then(|ending| ending.to_str()).and_then(|ending| format(ending).ok());
    let format = args.format.or(by_name).unwrap_or(ExportFormat::Csv);
    let mut url = args.api.url().clone();
    url.set_path(&format!("{}/api/v1/export/{}", url.path().trim_end_matches('/'), args.dataset.code()));
    url.query_pairs_mut().append_pair("format", format.code()).append_pair("count", "1");
    for (name, value) in args.filter.value() {
        url.query_pairs_mut().append_pair(&name, &in_query(&value));
    }
    for (name, value) in &args.parameters {
        url.query_pairs_mut().append_pair(name, value);
    }
    let request = reqwest::Client::new().get(url).bearer_auth(args.api.token());
    let mut answer = request.send().await.with_context(|| format!("{} does not answer", args.api.url()))?;
    if !answer.status().is_success() {
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let said: Vec<_> = errors
            .iter()
            .map(|error| {
                let [field, message] =
                    ["field", "message"].map(|name| error[name].as_str().unwrap_or_default());
                format!("{field}: {message}")
            })
            .collect();
        bail!("the server answered {status}: {}", said.join("; "));
    }
    let rows = answer
        .headers()
        .get(ROWS_HEADER)
        .and_then(|rows| rows.to_str().ok())
        .and_then(|rows| rows.parse().ok());
    let bar = bar(rows, format);
    let part = part_of(&args.output);
    let mut file: Box<dyn Write> = if is_stdout {
        Box::new(std::io::stdout().lock())
    } else {
        let file = File::create(&part).with_context(|| format!("{} cannot be written", part.display()))?;
        Box::new(std::io::BufWriter::new(file))
    };
    let mut records = Records::default();
    let mut bytes = 0u64;
    loop {
        let chunk = match answer.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                bar.abandon();
                let kept =
                    if is_stdout { String::new() } else { format!("; what came is in {}", part.display()) };
                return Err(anyhow::Error::new(error).context(format!("the export broke off{kept}")));
            }
        };
        match file.write_all(&chunk) {
            Ok(()) => {}
            // Such as `head`, which has seen enough.
            Err(error) if is_stdout && error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(anyhow::Error::new(error).context("the file cannot be written")),
        }
        bytes += chunk.len() as u64;
        records.note(&chunk, format);
        bar.set_position(if rows.is_some() && format != ExportFormat::Parquet {
            records.rows(format)
        } else {
            bytes
        });
    }
    file.flush().context("the file cannot be written")?;
    drop(file);
    bar.finish_and_clear();
    if !is_stdout {
        std::fs::rename(&part, &args.output)
            .with_context(|| format!("{} cannot be renamed to {}", part.display(), args.output.display()))?;
        let told = rows.map_or(String::new(), |rows: u64| format!("about {rows} rows, "));
        eprintln!("{told}{bytes} bytes in {}", args.output.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// A value of a filter as a parameter.
fn in_query(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(in_query).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn part_of(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Of rows where they can be counted, else of bytes; hidden where standard error is no terminal.
fn bar(rows: Option<u64>, format: ExportFormat) -> ProgressBar {
    let style =
        |shape: &str| ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar());
    match rows {
        Some(rows) if format != ExportFormat::Parquet => ProgressBar::new(rows).with_style(style(
            "{elapsed_precise} {wide_bar} {human_pos}/{human_len} rows, {per_sec}, {eta} left",
        )),
        _ => {
            ProgressBar::no_length().with_style(style("{elapsed_precise} {spinner} {bytes}, {bytes_per_sec}"))
        }
    }
}

/// Counts rows as they pass.
#[derive(Default)]
struct Records {
    lines: u64,
    is_in_quotes: bool,
}

impl Records {
    fn note(&mut self, chunk: &[u8], format: ExportFormat) {
        for byte in chunk {
            match byte {
                b'"' if format == ExportFormat::Csv => self.is_in_quotes = !self.is_in_quotes,
                b'\n' if !self.is_in_quotes => self.lines += 1,
                _ => {}
            }
        }
    }

    fn rows(&self, format: ExportFormat) -> u64 {
        self.lines.saturating_sub(u64::from(format == ExportFormat::Csv))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_over_line_ends_in_quotes() {
        let mut records = Records::default();
        records.note(b"a,b\n\"x\ny", ExportFormat::Csv);
        records.note(b"\",1\n\"he said \"\"\n\"\"\",2\n", ExportFormat::Csv);
        assert_eq!(records.rows(ExportFormat::Csv), 2);
        let mut records = Records::default();
        records.note(b"{\"a\":\"\\\"\"}\n{}\n", ExportFormat::Ndjson);
        assert_eq!(records.rows(ExportFormat::Ndjson), 2);
    }
}
