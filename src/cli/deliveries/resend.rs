//! `ricochet resend`: deliveries by their ids, or whatever a filter of the log finds.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::Api;
use super::filter::LogFilter;
use super::job::{FIELDS, is_done, summary, until_over};

pub const EXAMPLES: &str = "\
Examples:
  ricochet resend 0199a1f0-0000-7000-8000-000000000000
  ricochet resend --outcome failed --postback \"$POSTBACK\" --from 2026-11-21T00:00:00Z --dry-run
  ricochet resend --outcome failed --postback \"$POSTBACK\" --rate 100 --wait";

#[derive(Debug, Args)]
pub struct ResendArgs {
    /// Ids of deliveries, at most 1000; they are sent at once.
    #[arg(value_name = "DELIVERY_ID")]
    ids: Vec<Uuid>,
    #[command(flatten)]
    filter: LogFilter,
    /// Everything in the log: no filter.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Only count what the filter finds.
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    /// Send the request as it was at the time; otherwise that of today.
    #[arg(long)]
    original: bool,
    /// Send also what the condition of a postback, as it is today, keeps back.
    #[arg(long)]
    ignore_condition: bool,
    /// Most deliveries made in a second.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "ids")]
    rate: Option<u32>,
    /// Wait until the job is over; exits with 1 where it was not done.
    #[arg(long)]
    wait: bool,
    /// A UUID of your own: asked again under it, nothing is made twice.
    #[arg(long, value_name = "UUID")]
    job: Option<Uuid>,
    #[command(flatten)]
    api: Api,
}

pub async fn run(args: &ResendArgs) -> anyhow::Result<ExitCode> {
    let filter = args.filter.value();
    anyhow::ensure!(
        args.ids.is_empty() || filter.is_empty(),
        "name deliveries or a filter; leave one of the two out"
    );
    let request = if args.original { "ORIGINAL" } else { "CURRENT" };
    if !args.ids.is_empty() {
        return resend_ids(args, request).await;
    }
    anyhow::ensure!(
        args.all || !filter.is_empty(),
        "name deliveries, or a filter such as --outcome failed; --all is everything in the log"
    );
    if args.dry_run {
        return preview(args, Value::Object(filter)).await;
    }
    let query =
        format!("mutation($input: StartResendInput!) {{ startResend(input: $input) {{ {FIELDS} }} }}");
    let input = json!({
        "filter": filter, "request": request, "ignoreCondition": args.ignore_condition,
        "ratePerSecond": args.rate, "jobId": args.job,
    });
    let job = args.api.ask("startResend", &query, json!({ "input": input })).await?;
    let is_well = follow(&args.api, job, args.wait).await?;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows a job that was started, and its end where that is waited for. False where it was not done.
pub async fn follow(api: &Api, job: Value, wait: bool) -> anyhow::Result<bool> {
    if !wait {
        let id = job["jobId"].as_str().unwrap_or_default();
        println!("{id}");
        eprintln!("Follow it with: ricochet job wait {id}");
        return Ok(true);
    }
    let job = until_over(api, job).await?;
    println!("{}", summary(&job));
    Ok(is_done(&job))
}

async fn resend_ids(args: &ResendArgs, request: &str) -> anyhow::Result<ExitCode> {
    let query = format!(
        "mutation($ids: [ID!]!, $request: RequestVersion, $ignore: Boolean, $job: ID) {{
             resendDeliveries(deliveryIds: $ids, request: $request, ignoreCondition: $ignore, jobId: $job) {{
                 job {{ {FIELDS} }} deliveries {{ deliveryId newDeliveryId hastened reason }} }} }}"
    );
    let variables = json!({
        "ids": args.ids, "request": request, "ignore": args.ignore_condition, "job": args.job,
    });
    let answer = args.api.ask("resendDeliveries", &query, variables).await?;
    for one in answer["deliveries"].as_array().into_iter().flatten() {
        let id = one["deliveryId"].as_str().unwrap_or_default();
        match (one["newDeliveryId"].as_str(), &one["hastened"]) {
            (Some(new_id), _) => println!("{id}  sent again as {new_id}"),
            (None, Value::Bool(true)) => println!("{id}  was waiting, is due now"),
            (None, _) => println!("{id}  skipped: {}", one["reason"].as_str().unwrap_or_default()),
        }
    }
    println!("{}", summary(&answer["job"]));
    let is_whole = answer["job"]["skipped"].as_array().is_none_or(Vec::is_empty);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn preview(args: &ResendArgs, filter: Value) -> anyhow::Result<ExitCode> {
    let query = "query($filter: PostbackLogFilter!) { resendPreview(filter: $filter) {
        deliveries forgotten keptBack keptBackReasons { reason count } isKeptBackComplete notYetInLog byPostback { postbackId deliveries } byOutcome { outcome deliveries }
        byEvent { event deliveries } sample { deliveryId startedAt event outcome txid url } } }";
    let found = args.api.ask("resendPreview", query, json!({ "filter": filter })).await?;
    println!("{} deliveries would be sent again", found["deliveries"]);
    for (list, name) in [("byPostback", "postbackId"), ("byOutcome", "outcome"), ("byEvent", "event")] {
        for one in found[list].as_array().into_iter().flatten() {
            println!("  {:>10}  {}", one["deliveries"], one[name].as_str().unwrap_or_default());
        }
    }
    if found["forgotten"] != 0 {
        println!("{} of them are past the history's retention and cannot be", found["forgotten"]);
    }
    if found["keptBack"] != 0 && !args.ignore_condition {
        let at_least = if found["isKeptBackComplete"] == true { "" } else { "at least " };
        println!("{at_least}{} of them the condition of the postback keeps back", found["keptBack"]);
        for one in found["keptBackReasons"].as_array().into_iter().flatten() {
            println!("  {:>10}  {}", one["count"], one["reason"].as_str().unwrap_or_default());
        }
    }
    if found["notYetInLog"] != 0 {
        println!("{} attempts are not in ClickHouse yet, and not counted", found["notYetInLog"]);
    }
    for one in found["sample"].as_array().into_iter().flatten() {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        println!(
            "for example  {}  {}  {}  {}  {}",
            text("deliveryId"),
            text("startedAt"),
            text("event"),
            text("outcome"),
            text("url")
        );
    }
    println!("Nothing was sent.");
    Ok(ExitCode::SUCCESS)
}
