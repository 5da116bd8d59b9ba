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

mod access;
mod action;
mod advertiser;
mod allowlist;
mod composite;
mod conversion;
mod flags;
mod integration;
mod integration_file;
mod key;
mod link;
mod offer;
pub(super) mod output;
mod owner;
mod partner;
mod postback;
mod postback_request;
mod postback_signing;
mod preset;
mod quarantine;
mod secret;
mod sending;
mod settle;
mod word;

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
    /// List, show and set up what is ready for well-known trackers.
    #[command(subcommand, after_help = preset::EXAMPLES)]
    Preset(preset::PresetCommand),
    /// Make, list and revoke advertisers' API keys.
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::KeyCommand),
    /// Say whether an advertiser's requests are signed, and how many may come.
    #[command(subcommand, after_help = access::EXAMPLES)]
    Access(access::AccessCommand),
    /// Say where requests may come from, for an advertiser or one integration.
    #[command(subcommand, after_help = allowlist::EXAMPLES)]
    Allowlist(allowlist::AllowlistCommand),
    /// Make, list and retire the secrets that advertisers sign with.
    #[command(subcommand, after_help = secret::EXAMPLES)]
    Secret(secret::SecretCommand),
    /// Say what status words mean.
    #[command(subcommand, after_help = word::EXAMPLES)]
    Word(word::WordCommand),
    /// Make, list, show and change integrations: how foreign systems report.
    #[command(subcommand, after_help = integration::EXAMPLES)]
    Integration(integration::IntegrationCommand),
    /// List, release and discard requests whose status word nobody has mapped.
    #[command(subcommand, after_help = quarantine::EXAMPLES)]
    Quarantine(quarantine::QuarantineCommand),
    /// Force the status of a conversion.
    #[command(subcommand, after_help = conversion::EXAMPLES)]
    Conversion(conversion::ConversionCommand),
    /// Have requests of the inbound log processed again.
    ///
    /// They are judged by today's rules as of their own times: an unknown click may have arrived
    /// since. What was recorded the first time makes it a duplicate. Where one cannot be, none is.
    /// They wait in PostgreSQL until a running server takes them, within seconds; the outcomes are
    /// new rows of the inbound log (door reprocess).
    #[command(after_help = conversion::REPROCESS_EXAMPLES)]
    Reprocess(conversion::ReprocessArgs),
    /// Pay partners: show what is due, and settle it with --apply.
    ///
    /// Settles everything the filters find that is approved, no test, and whose hold days are
    /// over, each conversion once, and fires `payout` for each. What a run that ended early has
    /// settled stays so; the next settles the rest.
    #[command(after_help = settle::EXAMPLES)]
    Settle(Box<settle::SettleArgs>),
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
            SetupCommand::Preset(command) => preset::run(command).await,
            SetupCommand::Key(command) => key::run(command).await,
            SetupCommand::Access(command) => access::run(command).await,
            SetupCommand::Allowlist(command) => allowlist::run(command).await,
            SetupCommand::Secret(command) => secret::run(command).await,
            SetupCommand::Word(command) => word::run(command).await,
            SetupCommand::Integration(command) => integration::run(command).await,
            SetupCommand::Quarantine(command) => quarantine::run(command).await,
            SetupCommand::Conversion(command) => conversion::run(command).await,
            SetupCommand::Reprocess(args) => conversion::reprocess(args).await,
            SetupCommand::Settle(args) => settle::run(args).await,
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
