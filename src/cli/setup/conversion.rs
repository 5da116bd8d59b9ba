//! `ricochet conversion` and `ricochet reprocess`: what is done to one conversion by hand, or has
//! to be done again.

use anyhow::Context as _;
use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::json;

use super::flags::{Id, note, status};
use super::quarantine::inbound_ids;
use super::{ACTOR, Common};
use crate::domain::ids::LeadId;
use crate::domain::status::Status;
use crate::event_log::EventLog;
use crate::graphql::scope::Scope;
use crate::store::by_hand::{self, ByHand, ForceError, Forced};
use crate::store::reprocessing::{self, MOST_REQUESTS, ReprocessError};

pub const EXAMPLES: &str = "\
Examples:
  ricochet conversion force-status \"$LEAD\" approved --note 'agreed by telephone'";

pub const REPROCESS_EXAMPLES: &str = "\
Examples:
  ricochet reprocess \"$INBOUND\"

The ids are the inboundId of inboundLog (GraphQL), or the inbound_id that a refusal tells.";

#[derive(Debug, Subcommand)]
pub enum ConversionCommand {
    /// Give a conversion any status, past all rules about transitions, and fire that status's
    /// event. Amount and payout stay.
    ForceStatus {
        /// The lead_id that the conversion was answered with.
        lead_id: Id,
        /// hold, approved or rejected.
        #[arg(value_parser = status)]
        status: Status,
        /// Why; it stays in the conversion's history and the audit log.
        #[arg(long, value_parser = note)]
        note: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
pub struct ReprocessArgs {
    /// Requests of the inbound log; 1 to 100.
    #[arg(required = true, num_args = 1..=MOST_REQUESTS, value_name = "INBOUND_ID")]
    inbound_ids: Vec<Id>,
    /// ClickHouse URL, where the requests are kept.
    #[arg(long, env = "CLICKHOUSE_URL", hide_env_values = true)]
    clickhouse_url: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(command: &ConversionCommand) -> anyhow::Result<()> {
    let ConversionCommand::ForceStatus { lead_id, status, note, common } = command;
    let (pool, id, by) = (common.pool()?, LeadId(lead_id.0), ByHand { actor: ACTOR, note });
    let (sentence, previous) = match by_hand::force_status(&pool, id, *status, by, Utc::now()).await {
        Ok(Forced::Changed { from }) => {
            (format!("{id}: {} → {}; its event fires.", from.code(), status.code()), from)
        }
        Ok(Forced::Unchanged) => (format!("{id} was {} already; nothing was done.", status.code()), *status),
        Err(ForceError::NotFound) => {
            anyhow::bail!("LEAD_ID: there is no such conversion; take the lead_id of one there is")
        }
        Err(ForceError::Store(error)) => return Err(error.into()),
    };
    let changed = previous != *status;
    let shown = json!({ "lead_id": id, "changed": changed, "previous": previous, "status": status });
    common.output.done(&sentence, &shown)
}

pub async fn reprocess(args: &ReprocessArgs) -> anyhow::Result<()> {
    let log = EventLog::new(&args.clickhouse_url.parse().context("--clickhouse-url (CLICKHOUSE_URL)")?);
    let (pool, ids) = (args.common.pool()?, inbound_ids(&args.inbound_ids));
    let asked = match reprocessing::ask(&log, &pool, Scope::Everything, &ids, ACTOR).await {
        Ok(asked) => asked,
        Err(error @ (ReprocessError::Log(_) | ReprocessError::Store(_))) => return Err(error.into()),
        Err(error) => anyhow::bail!("INBOUND_ID: {error}"),
    };
    let waiting = ids.len() - asked;
    let sentence = match waiting {
        0 => format!("{asked} asked; a running server processes them within seconds."),
        _ => format!("{asked} asked; {waiting} waited to be processed already."),
    };
    args.common.output.done(&sentence, &json!({ "asked": asked, "waiting_already": waiting }))
}
