//! `ricochet quarantine`: requests whose status word nobody has mapped.

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::flags::{Id, meaning, note, uuids};
use super::{ACTOR, Common, all};
use crate::domain::ids::InboundId;
use crate::domain::status::Meaning;
use crate::graphql::paging::PageRequest;
use crate::graphql::scope::Scope;
use crate::store::quarantine::{
    self, Discarding, MOST_REQUESTS, NotWaiting, QuarantineFilter, QuarantineItem,
};

pub const EXAMPLES: &str = "\
Examples:
  ricochet quarantine words
  ricochet quarantine list --word 'in Bearbeitung'
  ricochet quarantine release \"$INBOUND\" --meaning hold
  ricochet quarantine discard \"$INBOUND\" --reason 'a test of theirs'

To set free all requests that wait for a word, and those to come: `ricochet word set`.";

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List the requests that wait, newest first.
    List(Box<ListQuarantine>),
    /// List the words requests wait for, the most frequent first.
    Words(Common),
    /// Say what the word of requests means, for them alone. A running server processes them
    /// within seconds, as of their own times. Where one is not in quarantine, none is released.
    Release {
        #[command(flatten)]
        which: Which,
        /// hold, approved, rejected, activate, deactivate (a recurring customer) or ignore.
        #[arg(long, value_parser = meaning)]
        meaning: Meaning,
        #[command(flatten)]
        common: Common,
    },
    /// Throw requests away. Where one is not in quarantine, none is.
    Discard {
        #[command(flatten)]
        which: Which,
        /// Why; it stays in the inbound log and the audit log.
        #[arg(long, value_parser = note)]
        reason: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
pub struct ListQuarantine {
    /// Only of this advertiser; may be repeated.
    #[arg(long, value_name = "ID")]
    advertiser: Vec<Id>,
    /// Only of this offer; may be repeated.
    #[arg(long, value_name = "ID")]
    offer: Vec<Id>,
    /// Only of this integration; may be repeated.
    #[arg(long, value_name = "ID")]
    integration: Vec<Id>,
    /// Only with this status word, in any case.
    #[arg(long)]
    word: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct Which {
    /// Ids that `ricochet quarantine list` shows; 1 to 1000.
    #[arg(required = true, num_args = 1..=MOST_REQUESTS, value_name = "INBOUND_ID")]
    inbound_ids: Vec<Id>,
}

impl Which {
    fn ids(&self) -> Vec<InboundId> {
        inbound_ids(&self.inbound_ids)
    }
}

/// Each once and in order.
pub fn inbound_ids(ids: &[Id]) -> Vec<InboundId> {
    let mut ids: Vec<InboundId> = ids.iter().map(|id| InboundId(id.0)).collect();
    ids.sort_unstable_by_key(|id| id.0);
    ids.dedup();
    ids
}

pub async fn run(command: &QuarantineCommand) -> anyhow::Result<()> {
    match command {
        QuarantineCommand::List(args) => list(args).await,
        QuarantineCommand::Words(common) => {
            let client = common.pool()?;
            let words = quarantine::words(&client.get().await?, Scope::Everything).await?;
            let columns = ["word", "requests", "oldest", "advertiser_id", "offer_id", "integration_id"];
            common.output.rows(&words, &columns)
        }
        QuarantineCommand::Release { which, meaning, common } => {
            let ids = which.ids();
            let released =
                quarantine::release(&common.pool()?, Scope::Everything, &ids, *meaning, ACTOR).await;
            let released = released.map_err(named)?;
            let sentence = format!("Released {released}; a running server processes them within seconds.");
            common.output.done(&sentence, &json!({ "released": released }))
        }
        QuarantineCommand::Discard { which, reason, common } => {
            let discarding = Discarding { actor: ACTOR, reason };
            let (pool, ids) = (common.pool()?, which.ids());
            let discarded = quarantine::discard(&pool, Scope::Everything, &ids, discarding, Utc::now()).await;
            let discarded = discarded.map_err(named)?;
            common.output.done(&format!("Discarded {discarded}."), &json!({ "discarded": discarded }))
        }
    }
}

fn named(error: NotWaiting) -> anyhow::Error {
    match error {
        NotWaiting::NotFound(_) => anyhow::anyhow!("INBOUND_ID: {error}"),
        NotWaiting::Store(error) => error.into(),
    }
}

async fn list(args: &ListQuarantine) -> anyhow::Result<()> {
    let filter = QuarantineFilter {
        advertiser_ids: uuids(&args.advertiser),
        offer_ids: uuids(&args.offer),
        integration_ids: uuids(&args.integration),
        word: args.word.clone(),
    };
    let pool = args.common.pool()?;
    let list = async |page: &PageRequest| quarantine::list(&pool, Scope::Everything, &filter, page).await;
    let rows: Vec<Value> = all(list).await?.iter().map(shown).collect();
    args.common
        .output
        .rows(&rows, &["inbound_id", "received_at", "word", "request_id", "action", "decided_meaning"])
}

fn shown(item: &QuarantineItem) -> Value {
    json!({
        "inbound_id": item.inbound_id,
        "advertiser_id": item.advertiser_id,
        "offer_id": item.offer_id,
        "integration_id": item.integration_id,
        "click_id": item.click_id,
        "word": item.word,
        "request_id": item.request.request_id,
        "action": item.request.action,
        "parameters": item.parameters,
        "source_ip": item.source_ip,
        "received_at": item.received_at,
        "occurred_at": item.occurred_at,
        "decided_meaning": item.decided_meaning,
    })
}
