//! `ricochet link`: partners' ways to offers.

use clap::Subcommand;

use super::composite::{self, SetComposite};
use super::flags::{Id, flagged, uuids};
use super::{ACTOR, Common, all};
use crate::domain::ids::{OfferId, PartnerId};
use crate::graphql::paging::PageRequest;
use crate::graphql::scope::Scope;
use crate::store::setup::links;

pub const EXAMPLES: &str = "\
Examples:
  ricochet link create --offer \"$OFFER\" --partner \"$PARTNER\"
  ricochet link list --partner \"$PARTNER\"
  ricochet link composite \"$LINK\" --ready revshare
  ricochet link composite \"$LINK\" --parameter tracker --start trID_ --end _trID \\
      --separator '#-#' --fields affiliate_id,clickid,sub1
  ricochet link composite \"$LINK\" --none";

#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Make a partner's link to an offer, and print its id: visitors go to /click/ID.
    Create {
        #[arg(long, value_name = "ID")]
        offer: Id,
        #[arg(long, value_name = "ID")]
        partner: Id,
        #[command(flatten)]
        common: Common,
    },
    /// List links, newest first.
    List {
        /// Only those to this offer; may be repeated.
        #[arg(long, value_name = "ID")]
        offer: Vec<Id>,
        /// Only those of this partner; may be repeated.
        #[arg(long, value_name = "ID")]
        partner: Vec<Id>,
        #[command(flatten)]
        common: Common,
    },
    /// Say how a link's composite parameter (several values in one) is read and written, for
    /// clicks from now on.
    Composite(Box<SetComposite>),
}

pub async fn run(command: &LinkCommand) -> anyhow::Result<()> {
    match command {
        LinkCommand::Create { offer, partner, common } => {
            let made = links::create(&common.pool()?, ACTOR, OfferId(offer.0), PartnerId(partner.0)).await;
            let made = made.map_err(|error| flagged(error, &[]))?;
            common.output.made(made.link_id, &made)
        }
        LinkCommand::List { offer, partner, common } => {
            let pool = common.pool()?;
            let list = async |page: &PageRequest| {
                links::list(&pool, Scope::Everything, uuids(offer), uuids(partner), page).await
            };
            common.output.rows(&all(list).await?, &["link_id", "offer_id", "partner_id", "composite"])
        }
        LinkCommand::Composite(args) => composite::set(args).await,
    }
}
