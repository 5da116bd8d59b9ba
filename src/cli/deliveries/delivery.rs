//! `ricochet delivery`: deliveries as they stand, and cancelling those that wait.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::api::Api;
use super::constant;
use crate::cli::setup::output::Output;

#[derive(Debug, Subcommand)]
pub enum DeliveryCommand {
    /// List deliveries, those of the newest events first.
    List(Box<ListArgs>),
    /// Cancel deliveries that wait, by their ids or by a filter: they are not sent.
    Cancel(Box<CancelArgs>),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// waiting, sending, retrying, delivered, failed, skipped or cancelled; separated by commas.
    #[arg(long = "state", value_name = "STATES", value_delimiter = ',', value_parser = constant)]
    states: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Resends of this delivery.
    #[arg(long, value_name = "ID")]
    resent_from: Option<Uuid>,
    /// Most rows to show.
    #[arg(long, default_value_t = 50, value_name = "ROWS")]
    show: usize,
    #[command(flatten)]
    api: Api,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Ids of deliveries, at most 1000.
    #[arg(value_name = "DELIVERY_ID")]
    ids: Vec<Uuid>,
    #[command(flatten)]
    place: Place,
    /// Everything that waits: no filter.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Only count what the filter finds.
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    #[command(flatten)]
    api: Api,
}

/// What both know to restrict by.
#[derive(Debug, Args)]
pub struct Place {
    /// Ids of postbacks.
    #[arg(long = "postback", value_name = "IDS", value_delimiter = ',')]
    postback_ids: Vec<Uuid>,
    /// Ids of offers.
    #[arg(long = "offer", value_name = "IDS", value_delimiter = ',')]
    offer_ids: Vec<Uuid>,
    /// Ids of partners.
    #[arg(long = "partner", value_name = "IDS", value_delimiter = ',')]
    partner_ids: Vec<Uuid>,
    /// Events, such as sale,approve.
    #[arg(long = "event", value_name = "EVENTS", value_delimiter = ',', value_parser = constant)]
    events: Vec<String>,
    /// Id of the conversion.
    #[arg(long = "lead", value_name = "ID")]
    lead_id: Option<Uuid>,
    /// Made by this job.
    #[arg(long = "job", value_name = "ID")]
    job_id: Option<Uuid>,
    /// At this time or later, such as 2026-11-21T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

impl Place {
    /// The fields that are set.
    fn value(&self) -> Map<String, Value> {
        let fields = [
            ("postbackIds", json!(self.postback_ids)),
            ("offerIds", json!(self.offer_ids)),
            ("partnerIds", json!(self.partner_ids)),
            ("events", json!(self.events)),
            ("leadId", json!(self.lead_id)),
            ("jobId", json!(self.job_id)),
            ("from", json!(self.from)),
            ("to", json!(self.to)),
        ];
        let is_set = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
        fields
            .into_iter()
            .filter(|(_, value)| is_set(value))
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

pub async fn run(command: &DeliveryCommand) -> anyhow::Result<ExitCode> {
    match command {
        DeliveryCommand::List(args) => list(args).await,
        DeliveryCommand::Cancel(args) => cancel(args).await,
    }
}

/// Most rows of one page of the API.
const PAGE_ROWS: usize = 1_000;

async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let mut filter = args.place.value();
    if !args.states.is_empty() {
        filter.insert("states".into(), json!(args.states));
    }
    if let Some(first) = args.resent_from {
        filter.insert("resentFrom".into(), json!(first));
    }
    let query = "query($filter: DeliveriesFilter, $first: Int, $after: String) {
        deliveries(filter: $filter, first: $first, after: $after) { pageInfo { hasNextPage endCursor } edges { node {
            deliveryId state event txid attempts nextAttemptAt reason postbackId leadId resentFrom resendNumber jobId
            createdAt finishedAt isPostbackPaused } } } }";
    let mut rows: Vec<Value> = Vec::new();
    let mut after = Value::Null;
    while rows.len() < args.show {
        let first = (args.show - rows.len()).min(PAGE_ROWS);
        let variables = json!({ "filter": filter, "first": first, "after": after });
        let page = args.api.ask("deliveries", query, variables).await?;
        rows.extend(page["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()));
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let columns =
        ["deliveryId", "state", "event", "txid", "attempts", "nextAttemptAt", "resendNumber", "reason"];
    args.output.rows(&rows, &columns)?;
    Ok(ExitCode::SUCCESS)
}

async fn cancel(args: &CancelArgs) -> anyhow::Result<ExitCode> {
    let filter = args.place.value();
    anyhow::ensure!(
        args.ids.is_empty() || filter.is_empty(),
        "name deliveries or a filter; leave one of the two out"
    );
    const FIELDS: &str = "cancelled beingSent notWaiting";
    let (field, query, variables) = if !args.ids.is_empty() {
        (
            "cancelDeliveries",
            format!("mutation($ids: [ID!]!) {{ cancelDeliveries(deliveryIds: $ids) {{ {FIELDS} }} }}"),
            json!({ "ids": args.ids }),
        )
    } else {
        anyhow::ensure!(
            args.all || !filter.is_empty(),
            "name deliveries, or a filter such as --postback ID; --all is everything that waits"
        );
        let (kind, field) =
            if args.dry_run { ("query", "cancelPreview") } else { ("mutation", "cancelWaiting") };
        (
            field,
            format!(
                "{kind}($filter: WaitingDeliveriesFilter!) {{ {field}(filter: $filter) {{ {FIELDS} }} }}"
            ),
            json!({ "filter": filter }),
        )
    };
    let done = args.api.ask(field, &query, variables).await?;
    let would = if args.dry_run { " would be" } else { "" };
    println!("{}{would} cancelled", done["cancelled"]);
    if done["beingSent"] != 0 {
        println!("{} are being sent, and cannot be before their outcome is known", done["beingSent"]);
    }
    if done["notWaiting"] != 0 {
        println!("{} do not wait: they are over, or there are none by these ids", done["notWaiting"]);
    }
    let is_whole = done["beingSent"] == 0 && done["notWaiting"] == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
