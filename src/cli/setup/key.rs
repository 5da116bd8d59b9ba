//! `ricochet key`: API keys of advertisers.

use clap::Subcommand;
use serde_json::json;

use super::flags::{Id, flagged, uuids};
use super::{ACTOR, Common, all};
use crate::domain::ids::AdvertiserId;
use crate::graphql::paging::PageRequest;
use crate::graphql::scope::Scope;
use crate::store::setup::api_keys;

pub const EXAMPLES: &str = "\
Examples:
  API_KEY=$(ricochet key create --advertiser \"$ADVERTISER\" --label production)
  ricochet key list --advertiser \"$ADVERTISER\"
  ricochet key revoke \"$KEY_ID\"";

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an advertiser's API key, and print it. It is shown once and kept only as its hash.
    Create {
        #[arg(long, value_name = "ID")]
        advertiser: Id,
        /// A note for whoever reads the list.
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        common: Common,
    },
    /// List keys, without the keys themselves, newest first.
    List {
        /// Only those of this advertiser; may be repeated.
        #[arg(long, value_name = "ID")]
        advertiser: Vec<Id>,
        #[command(flatten)]
        common: Common,
    },
    /// Revoke a key for good.
    Revoke {
        /// The id that `ricochet key list` shows.
        api_key_id: Id,
        #[command(flatten)]
        common: Common,
    },
}

pub async fn run(command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create { advertiser, label, common } => {
            let made = api_keys::create(&common.pool()?, ACTOR, AdvertiserId(advertiser.0), label).await;
            let made = made.map_err(|error| flagged(error, &[]))?;
            let id = made.record.api_key_id;
            let shown = json!({ "api_key_id": id, "api_key": &made.secret });
            common.output.made(&made.secret, &shown)?;
            eprintln!("Key {id}; it is not shown again.");
            Ok(())
        }
        KeyCommand::List { advertiser, common } => {
            let pool = common.pool()?;
            let list = async |page: &PageRequest| {
                api_keys::list(&pool, Scope::Everything, uuids(advertiser), page).await
            };
            let columns = ["api_key_id", "advertiser_id", "created_at", "revoked_at", "label"];
            common.output.rows(&all(list).await?, &columns)
        }
        KeyCommand::Revoke { api_key_id, common } => {
            let revoked = api_keys::revoke(&common.pool()?, ACTOR, Scope::Everything, api_key_id.0).await;
            let revoked = revoked.map_err(|error| flagged(error, &[("api_key_id", "API_KEY_ID")]))?;
            common.output.done(&format!("Revoked {}.", revoked.api_key_id), &revoked)
        }
    }
}
