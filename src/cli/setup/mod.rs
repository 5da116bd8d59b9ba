//! `ricochet advertiser|partner|offer|…`: setting a network up and working on it by hand,
//! straight in the database, one file an entity.
//!
//! ```text
//! arguments ─► store::setup, store::…: the very changes that GraphQL makes, each one transaction
//!                  with its audit entry (actor `command_line`)
//!                      └─► every running node sees it within a second, as it sees other nodes'
//! ```
//!
//! What is made is printed as its id (or secret) alone, for shells; lists are tables, `--json`
//! makes JSON of either. Whatever else there is to say goes to standard error.

mod action;
mod advertiser;
mod flags;
mod key;
mod link;
mod offer;
mod output;
mod partner;
mod postback;

use clap::Subcommand;

use super::block_on;
use crate::graphql::paging::{MAX_PAGE_ROWS, Page, PageRequest, Positioned};
use crate::store::StoreError;
use crate::store::audit::Actor;

pub(super) use output::Common;

#[derive(Debug, Subcommand)]
pub enum SetupCommand {
    /// Make, list and change advertisers.
    #[command(subcommand, after_help = advertiser::EXAMPLES)]
    Advertiser(advertiser::AdvertiserCommand),
    /// Make, list and rename partners.
    #[command(subcommand, after_help = partner::EXAMPLES)]
    Partner(partner::PartnerCommand),
    /// Make, list and change offers.
    #[command(subcommand, after_help = offer::EXAMPLES)]
    Offer(offer::OfferCommand),
    /// Make, list and change the paid goals of offers.
    #[command(subcommand, after_help = action::EXAMPLES)]
    Action(action::ActionCommand),
    /// Make and list partners' links to offers.
    #[command(subcommand, after_help = link::EXAMPLES)]
    Link(link::LinkCommand),
    /// Make, list, change, pause and delete postbacks.
    #[command(subcommand, after_help = postback::EXAMPLES)]
    Postback(postback::PostbackCommand),
    /// Make, list and revoke advertisers' API keys.
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::KeyCommand),
}

const ACTOR: Actor = Actor::CommandLine;

pub fn run(command: &SetupCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            SetupCommand::Advertiser(command) => advertiser::run(command).await,
            SetupCommand::Partner(command) => partner::run(command).await,
            SetupCommand::Offer(command) => offer::run(command).await,
            SetupCommand::Action(command) => action::run(command).await,
            SetupCommand::Link(command) => link::run(command).await,
            SetupCommand::Postback(command) => postback::run(command).await,
            SetupCommand::Key(command) => key::run(command).await,
        }
    })
}

/// All pages of a list.
async fn all<R: Positioned>(
    list: impl AsyncFn(&PageRequest) -> Result<Page<R>, StoreError>,
) -> Result<Vec<R>, StoreError> {
    let mut rows: Vec<R> = Vec::new();
    let mut after = None;
    loop {
        let page = list(&PageRequest { rows: MAX_PAGE_ROWS, after, with_total: false }).await?;
        rows.extend(page.rows);
        if !page.has_next_page {
            return Ok(rows);
        }
        after = rows.last().map(Positioned::position);
    }
}
