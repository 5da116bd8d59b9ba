//! `ricochet postback send-past`: a postback for the conversions it came too late for.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::api::Api;
use super::job::FIELDS;
use super::resend::follow;

#[derive(Debug, Args)]
pub struct SendPastArgs {
    /// The id that `ricochet postback list` shows.
    postback_id: Uuid,
    /// Conversions recorded at this time or later, such as 2026-11-01T00:00:00Z; otherwise all.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Conversions recorded before this time; otherwise up to now.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Test conversions too.
    #[arg(long)]
    include_tests: bool,
    /// Only count.
    #[arg(long)]
    dry_run: bool,
    /// Most deliveries made in a second.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<u32>,
    /// Wait until the job is over; exits with 1 where it was not done.
    #[arg(long)]
    wait: bool,
    /// A UUID of your own: asked again under it, there is still one job.
    #[arg(long, value_name = "UUID")]
    job: Option<Uuid>,
    #[command(flatten)]
    api: Api,
}

pub async fn run(args: &SendPastArgs) -> anyhow::Result<()> {
    let input = json!({
        "postbackId": args.postback_id, "from": args.from, "to": args.to, "includeTests": args.include_tests,
        "ratePerSecond": args.rate, "jobId": args.job,
    });
    let variables = json!({ "input": input });
    if !args.dry_run {
        let query = format!(
            "mutation($input: SendPastInput!) {{ sendPast(input: $input) {{ job {{ {FIELDS} }} }} }}"
        );
        let mut answer = args.api.ask("sendPast", &query, variables).await?;
        let is_well = follow(&args.api, answer["job"].take(), args.wait).await?;
        anyhow::ensure!(is_well, "the job was not done");
        return Ok(());
    }
    let query = "query($input: SendPastInput!) { sendPastPreview(input: $input) {
        isComplete countedUntil deliveries forgotten historyFrom keptBack keptBackReasons { reason count }
        byEvent { event missing hasDelivery } } }";
    let found = args.api.ask("sendPastPreview", query, variables).await?;
    let at_least = if found["countedUntil"].is_null() { "" } else { "at least " };
    println!("{at_least}{} late postbacks would be sent", found["deliveries"]);
    for one in found["byEvent"].as_array().into_iter().flatten() {
        let event = one["event"].as_str().unwrap_or_default();
        println!("  {:>10}  {event}  ({} have been told)", one["missing"], one["hasDelivery"]);
    }
    if found["keptBack"] != 0 {
        println!("{} are kept back by the postback's condition", found["keptBack"]);
    }
    for one in found["keptBackReasons"].as_array().into_iter().flatten() {
        println!("  {:>10}  {}", one["count"], one["reason"].as_str().unwrap_or_default());
    }
    let begin = found["historyFrom"].as_str().unwrap_or("now");
    match found["forgotten"].as_u64() {
        Some(0) => {}
        Some(forgotten) => {
            println!("{forgotten} conversions are older than the history, which begins {begin}")
        }
        None => println!(
            "More conversions than could be counted are older than the history, which begins {begin}"
        ),
    }
    if let Some(until) = found["countedUntil"].as_str() {
        println!("What was recorded from {until} on was not counted: there was no time for more.");
    }
    println!("Nothing was sent.");
    Ok(())
}
