//! `ricochet reconcile FILE.csv`: shows what an advertiser's file would change, and applies what
//! was shown.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::block_on;

#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// The advertiser's file: its first row names the columns, one of them request_id.
    #[arg(required_unless_present = "plan")]
    file: Option<PathBuf>,
    /// Apply what is shown.
    #[arg(long)]
    apply: bool,
    /// Instead of a file: the reconciliation that an earlier run has shown.
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    plan: Option<Uuid>,
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// An API key or token of the advertiser, or an owner's token.
    #[arg(long, env = "RICOCHET_API_KEY", hide_env_values = true)]
    api_key: String,
    /// Whose file it is, where an owner's token is given.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Uuid>,
    /// Also show what we have since this time and the file lacks.
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// The end of that time, exclusive.
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// The file's encoding, such as windows-1251.
    #[arg(long, default_value = "utf-8")]
    encoding: String,
    /// Most rows to show.
    #[arg(long, default_value_t = 100, value_name = "ROWS")]
    show: usize,
}

/// Bytes sent to the server at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Rows asked for at once.
const PAGE_ROWS: usize = 1_000;

/// Exits with 0 when every row of the file is in order or was applied, with 1 otherwise.
pub fn run(args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        let server = Server { client: reqwest::Client::new(), args };
        let mut state = match (args.plan, &args.file) {
            (Some(plan), _) => server.call(server.get(&format!("/{plan}"))).await?,
            (None, Some(file)) => server.upload(file).await?,
            (None, None) => bail!("name a file or --plan"),
        };
        let plan = state["reconciliation_id"].as_str().context("the answer has no id")?.to_owned();
        show_rows(&server, &plan).await?;
        show_totals(&state["totals"]);
        if args.apply {
            state = apply(&server, &plan, state).await?;
            show_applied(&state["applied"]);
        } else if state["remaining"] != 0 {
            println!(
                "Nothing was changed. To apply exactly this:\n  ricochet reconcile --plan {plan} --apply"
            );
        }
        let count = |totals: &Value, names: &[&str]| -> i64 {
            names.iter().filter_map(|name| totals[*name].as_i64()).sum()
        };
        let amiss = count(&state["totals"], &["error", "conflict"])
            + count(&state["applied"], &["conflict", "rejected", "changed_since"]);
        Ok(if amiss == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

struct Server<'a> {
    client: reqwest::Client,
    args: &'a ReconcileArgs,
}

impl Server<'_> {
    fn address(&self, path: &str) -> Url {
        let mut url = self.args.url.clone();
        url.set_path(&format!("{}/api/v1/reconciliations{path}", url.path().trim_end_matches('/')));
        if let Some(advertiser) = self.args.advertiser {
            url.query_pairs_mut().append_pair("advertiser_id", &advertiser.to_string());
        }
        url
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.address(path))
    }

    async fn upload(&self, path: &PathBuf) -> anyhow::Result<Value> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let bar = progress(bytes, "{msg} [{bar:40}] {bytes}/{total_bytes}", "reading");
        let mut url = self.address("");
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("encoding", &self.args.encoding);
            for (name, value) in [("from", &self.args.from), ("to", &self.args.to)] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
        }
        let pieces = futures_util::stream::unfold((file, bar.clone()), async |(mut file, bar)| {
            let mut piece = vec![0; PIECE_BYTES];
            match file.read(&mut piece) {
                Ok(0) => None,
                Ok(read) => {
                    piece.truncate(read);
                    bar.inc(read as u64);
                    Some((Ok(piece), (file, bar)))
                }
                Err(error) => Some((Err(error), (file, bar))),
            }
        });
        let request = self.client.post(url).header("content-type", "text/csv");
        let answer = self.call(request.body(reqwest::Body::wrap_stream(pieces))).await;
        bar.finish_and_clear();
        answer
    }

    /// The body of a success, or the server's own words of a refusal.
    async fn call(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.bearer_auth(&self.args.api_key).send().await?;
        let status = answer.status();
        let body: Value = answer.json().await.context("the server's answer is no JSON")?;
        if status.is_success() {
            return Ok(body);
        }
        let faults = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let faults: Vec<String> = faults.iter().map(fault).collect();
        bail!(
            "{}",
            if faults.is_empty() { format!("the server answered {status}") } else { faults.join("; ") }
        )
    }
}

/// Applies in calls of bounded length; whatever interrupts it, `--plan ID --apply` goes on.
async fn apply(server: &Server<'_>, plan: &str, mut state: Value) -> anyhow::Result<Value> {
    let left = |state: &Value| state["remaining"].as_u64().unwrap_or(0);
    let all = left(&state);
    let bar = progress(all, "{msg} [{bar:40}] {pos}/{len} rows", "applying");
    while left(&state) > 0 {
        let request = server.client.post(server.address(&format!("/{plan}/apply")));
        let goes_on =
            || format!("stopped with rows left; go on with: ricochet reconcile --plan {plan} --apply");
        state = server.call(request).await.with_context(goes_on)?;
        bar.set_position(all - left(&state).min(all));
    }
    bar.finish_and_clear();
    Ok(state)
}

async fn show_rows(server: &Server<'_>, plan: &str) -> anyhow::Result<()> {
    let mut after = 0;
    let mut shown = 0;
    while shown < server.args.show {
        let limit = PAGE_ROWS.min(server.args.show - shown);
        let mut url = server.address(&format!("/{plan}/rows"));
        url.query_pairs_mut()
            .append_pair("after", &after.to_string())
            .append_pair("limit", &limit.to_string());
        let page = server.call(server.client.get(url)).await?;
        for row in page["rows"].as_array().context("the answer has no rows")? {
            println!("{}", line(row));
            shown += 1;
        }
        match page["next_after"].as_i64() {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
    println!("… more rows differ; --show ROWS shows more of them");
    Ok(())
}

fn line(row: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut line = format!("{:<10} {}", text(&row["result"]), text(&row["request_id"]));
    if let Some(number) = row["line"].as_u64() {
        line = format!("line {number:<7} {line}");
    } else {
        line = format!("{:<12} {line}", "not in file");
    }
    for change in row["changes"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (field, to) = (text(&change["field"]), text(&change["to"]));
        line += &match &change["from"] {
            Value::Null => format!("  {field}: {to}"),
            from => format!("  {field}: {} → {to}", text(from)),
        };
    }
    for error in row["errors"].as_array().map(Vec::as_slice).unwrap_or_default() {
        line += &format!("  {}", fault(error));
    }
    if let Some(message) = row["message"].as_str() {
        line += &format!("  {message}");
    }
    line
}

fn fault(error: &Value) -> String {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("field"), text("message"))
}

fn show_totals(totals: &Value) {
    let counts = totals.as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(name, count)| format!("{count} {name}")).collect();
    println!("{}", counts.join(", "));
}

fn show_applied(applied: &Value) {
    let counts = applied.as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(name, count)| format!("{count} {name}")).collect();
    println!("applied: {}", if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") });
}

fn progress(length: u64, template: &str, message: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_message(message)
}
