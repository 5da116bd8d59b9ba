//! `ricochet partner`.

use clap::Subcommand;

use super::flags::{Id, flagged};
use super::{ACTOR, Common, all};
use crate::domain::ids::PartnerId;
use crate::graphql::scope::Scope;
use crate::store::setup::partners;

pub const EXAMPLES: &str = "\
Examples:
  ricochet partner create 'Northwind Media'
  ricochet partner update \"$PARTNER\" --name 'Northwind Media Ltd'";

#[derive(Debug, Subcommand)]
pub enum PartnerCommand {
    /// Make one, and print its id.
    Create {
        /// What people call it.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List all, newest first.
    List(Common),
    /// Rename one.
    Update {
        /// The id that `ricochet partner list` shows.
        partner_id: Id,
        /// What people call it from now on.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

pub async fn run(command: &PartnerCommand) -> anyhow::Result<()> {
    match command {
        PartnerCommand::Create { name, common } => {
            let made = partners::create(&common.pool()?, ACTOR, name).await;
            let made = made.map_err(|error| flagged(error, &[("name", "NAME")]))?;
            common.output.made(made.partner_id, &made)
        }
        PartnerCommand::List(common) => {
            let pool = common.pool()?;
            let rows = all(async |page| partners::list(&pool, Scope::Everything, page).await).await?;
            common.output.rows(&rows, &["partner_id", "name"])
        }
        PartnerCommand::Update { partner_id, name, common } => {
            let renamed = partners::rename(&common.pool()?, ACTOR, PartnerId(partner_id.0), name).await;
            let spelled = [("partner_id", "PARTNER_ID")];
            common.output.row(&renamed.map_err(|error| flagged(error, &spelled))?)
        }
    }
}
