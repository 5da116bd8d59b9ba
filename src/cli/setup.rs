//! `ricochet advertiser|partner|offer|action|link|postback|key`: a network from an empty
//! database, straight in the database, through the same changes that GraphQL makes. What is
//! made is printed as its id (or secret) alone, for shells; the rest goes to standard error.

use clap::{Args, Subcommand};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::block_on;
use super::token::{Database, connect};
use crate::domain::event::{ActionKind, Event};
use crate::domain::explanation::conclusion;
use crate::domain::ids::{AdvertiserId, LeadId, LinkId, OfferId, PartnerId, PostbackId};
use crate::domain::money::parse_amount;
use crate::domain::payout::PayoutModel;
use crate::domain::postback::{Owner, Scope as PostbackScope};
use crate::graphql::paging::{MAX_PAGE_ROWS, Page, PageRequest, Positioned};
use crate::graphql::scope::Scope;
use crate::store::StoreError;
use crate::store::audit::Actor;
use crate::store::catalogue;
use crate::store::explaining;
use crate::store::secrets::Keyring;
use crate::store::setup::actions::{self, ActionTerms};
use crate::store::setup::offers::{self, OfferChange};
use crate::store::setup::postbacks::{self, PostbackChange};
use crate::store::setup::{ChangeError, advertisers, api_keys, links, partners};

#[derive(Debug, Subcommand)]
pub enum NamedCommand {
    /// Make one, and print its id.
    Create {
        /// What people call it.
        name: String,
        #[command(flatten)]
        database: Database,
    },
    /// List all, newest first.
    List(Database),
}

#[derive(Debug, Subcommand)]
pub enum OfferCommand {
    /// Make an offer, and print its id.
    Create {
        /// Id of the advertiser it belongs to.
        #[arg(long, value_name = "ID")]
        advertiser: Uuid,
        /// What people call it.
        #[arg(long)]
        name: String,
        /// Where visitors go: an http:// or https:// URL with macros such as {click_id} or {sub1}.
        #[arg(long, value_name = "URL")]
        landing_url: String,
        #[command(flatten)]
        database: Database,
    },
    /// List all with their actions, newest first.
    List(Database),
}

#[derive(Debug, Subcommand)]
pub enum ActionCommand {
    /// Add a paid goal to an offer, and print its id.
    Create(Box<CreateAction>),
}

#[derive(Debug, Args)]
pub struct CreateAction {
    /// Id of the offer.
    #[arg(long, value_name = "ID")]
    offer: Uuid,
    /// What the advertiser reports it by.
    #[arg(long)]
    name: String,
    /// lead, registration, deposit, trial, sale, rebill or custom.
    #[arg(long, value_parser = kind)]
    kind: ActionKind,
    /// fixed, percent or recurring; where left out, fixed or percent by what is paid.
    #[arg(long, value_parser = payout_model)]
    payout_model: Option<PayoutModel>,
    /// What the partner gets for each.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    payout: Option<Decimal>,
    /// The partner's share of the price.
    #[arg(long, value_name = "PERCENT", value_parser = amount)]
    payout_percent: Option<Decimal>,
    /// What the advertiser pays: an amount, or percent where the partner gets a share.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    advertiser_rate: Decimal,
    /// The network's share of the advertiser's rate, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = amount, default_value = "0")]
    commission_percent: Decimal,
    /// ISO 4217 code.
    #[arg(long, default_value = "USD")]
    currency: String,
    /// One click can have it more than once.
    #[arg(long)]
    repeatable: bool,
    /// Conversions that name no action are of this one.
    #[arg(long)]
    default: bool,
    /// Days until a conversion should be decided on.
    #[arg(long, default_value_t = 0)]
    hold_days: i32,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Make a partner's link to an offer, and print its id: visitors go to /click/ID.
    Create {
        #[arg(long, value_name = "ID")]
        offer: Uuid,
        #[arg(long, value_name = "ID")]
        partner: Uuid,
        #[command(flatten)]
        database: Database,
    },
    /// List all, newest first.
    List(Database),
}

#[derive(Debug, Subcommand)]
pub enum PostbackCommand {
    /// Make a postback, and print its id. With neither --partner nor --advertiser it is the
    /// platform's own.
    Create(Box<CreatePostback>),
    /// List all that are not deleted, newest first.
    List(Database),
    /// Say why a postback is told of a conversion's event, or is not.
    Explain {
        #[arg(value_name = "POSTBACK_ID")]
        postback: Uuid,
        #[arg(value_name = "LEAD_ID")]
        lead: Uuid,
        /// Such as approve.
        #[arg(value_parser = event)]
        event: Event,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Args)]
pub struct CreatePostback {
    /// Id of the partner it belongs to.
    #[arg(long, value_name = "ID", conflicts_with = "advertiser")]
    partner: Option<Uuid>,
    /// Id of the advertiser it belongs to.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Uuid>,
    /// Only for this offer.
    #[arg(long, value_name = "ID", conflicts_with = "link")]
    offer: Option<Uuid>,
    /// Only for this link.
    #[arg(long, value_name = "ID")]
    link: Option<Uuid>,
    /// Events it hears of, separated by commas, such as hold,approve,reject.
    #[arg(long, value_delimiter = ',', value_parser = event, required = true)]
    events: Vec<Event>,
    /// Where it is sent: an http:// or https:// URL with macros such as {clickid} or {payout}.
    #[arg(long, value_name = "URL")]
    url: String,
    /// Only events it is true of, such as 'payout >= 10 && country in ["DE", "AT"]'; the others
    /// are skipped, and the log says why.
    #[arg(long, value_name = "EXPRESSION")]
    condition: Option<String>,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an advertiser's API key, and print it. It is shown once and kept only as its hash.
    Create {
        #[arg(long, value_name = "ID")]
        advertiser: Uuid,
        /// A note for whoever reads the list.
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        database: Database,
    },
    /// List all keys, without the keys themselves, newest first.
    List(Database),
    /// Revoke a key for good.
    Revoke {
        /// The id that `ricochet key list` shows.
        api_key_id: Uuid,
        #[command(flatten)]
        database: Database,
    },
}

const ACTOR: Actor = Actor::CommandLine;

pub fn advertiser(command: &NamedCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            NamedCommand::Create { name, database } => {
                let made = advertisers::create(&connect(database)?, ACTOR, name).await.map_err(flagged)?;
                println!("{}", made.advertiser_id);
            }
            NamedCommand::List(database) => {
                let pool = connect(database)?;
                for row in all(async |page| advertisers::list(&pool, Scope::Everything, page).await).await? {
                    println!("{}  {}", row.advertiser_id, row.name);
                }
            }
        }
        Ok(())
    })
}

pub fn partner(command: &NamedCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            NamedCommand::Create { name, database } => {
                let made = partners::create(&connect(database)?, ACTOR, name).await.map_err(flagged)?;
                println!("{}", made.partner_id);
            }
            NamedCommand::List(database) => {
                let pool = connect(database)?;
                for row in all(async |page| partners::list(&pool, Scope::Everything, page).await).await? {
                    println!("{}  {}", row.partner_id, row.name);
                }
            }
        }
        Ok(())
    })
}

pub fn offer(command: &OfferCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            OfferCommand::Create { advertiser, name, landing_url, database } => {
                let settings = OfferChange {
                    name: Some(name.clone()),
                    landing_url: Some(landing_url.clone()),
                    ..OfferChange::default()
                };
                let pool = connect(database)?;
                let made = offers::create(&pool, ACTOR, AdvertiserId(*advertiser), settings).await;
                println!("{}", made.map_err(flagged)?.offer_id);
                eprintln!("Add what is paid for next: ricochet action create --offer ID …");
            }
            OfferCommand::List(database) => {
                let pool = connect(database)?;
                let list = async |page: &PageRequest| {
                    offers::list(&pool, Scope::Everything, Vec::new(), Vec::new(), page).await
                };
                for row in all(list).await? {
                    let actions: Vec<&str> = row.actions.iter().map(|action| action.name.as_str()).collect();
                    println!("{}  {}  [{}]  {}", row.offer_id, row.name, actions.join(", "), row.landing_url);
                }
            }
        }
        Ok(())
    })
}

pub fn action(command: &ActionCommand) -> anyhow::Result<()> {
    let ActionCommand::Create(args) = command;
    let by_payout = if args.payout_percent.is_some() { PayoutModel::Percent } else { PayoutModel::Fixed };
    let terms = ActionTerms {
        name: args.name.clone(),
        kind: args.kind,
        payout_model: args.payout_model.unwrap_or(by_payout),
        advertiser_rate: args.advertiser_rate,
        commission_percent: args.commission_percent,
        payout_amount: args.payout,
        payout_percent: args.payout_percent,
        currency: args.currency.clone(),
        is_repeatable: args.repeatable,
        is_default: args.default,
        hold_days: args.hold_days,
    };
    block_on(async {
        let pool = connect(&args.database)?;
        let made = actions::create(&pool, ACTOR, OfferId(args.offer), &terms).await.map_err(flagged)?;
        println!("{}", made.action_id);
        Ok(())
    })
}

pub fn link(command: &LinkCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            LinkCommand::Create { offer, partner, database } => {
                let pool = connect(database)?;
                let made = links::create(&pool, ACTOR, OfferId(*offer), PartnerId(*partner)).await;
                println!("{}", made.map_err(flagged)?.link_id);
            }
            LinkCommand::List(database) => {
                let pool = connect(database)?;
                let list = async |page: &PageRequest| {
                    links::list(&pool, Scope::Everything, Vec::new(), Vec::new(), page).await
                };
                for row in all(list).await? {
                    println!("{}  offer {}  partner {}", row.link_id, row.offer_id, row.partner_id);
                }
            }
        }
        Ok(())
    })
}

pub fn postback(command: &PostbackCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            PostbackCommand::Create(args) => {
                let owner = match (args.partner, args.advertiser) {
                    (Some(id), _) => Owner::Partner(PartnerId(id)),
                    (None, Some(id)) => Owner::Advertiser(AdvertiserId(id)),
                    (None, None) => Owner::Platform,
                };
                let scope = match (args.offer, args.link) {
                    (Some(id), _) => PostbackScope::Offer(OfferId(id)),
                    (None, Some(id)) => PostbackScope::Link(LinkId(id)),
                    (None, None) => PostbackScope::Global,
                };
                let settings = PostbackChange {
                    events: Some(args.events.clone()),
                    url_template: Some(args.url.clone()),
                    condition: args.condition.clone(),
                    ..PostbackChange::default()
                };
                let pool = connect(&args.database)?;
                let made = postbacks::create(&pool, ACTOR, owner, scope, settings).await.map_err(flagged)?;
                println!("{}", made.postback_id);
            }
            PostbackCommand::List(database) => {
                let pool = connect(database)?;
                let list = async |page: &PageRequest| postbacks::list(&pool, Scope::Everything, page).await;
                for row in all(list).await? {
                    let events: Vec<&str> = row.events.iter().map(|event| event.code()).collect();
                    let state = if row.is_paused { "paused" } else { "live" };
                    let condition = row.condition.map(|text| format!("  if {text}")).unwrap_or_default();
                    let events = events.join(",");
                    println!("{}  {state}  {events}  {}{condition}", row.postback_id, row.url_template);
                }
            }
            PostbackCommand::Explain { postback, lead, event, database } => {
                let pool = connect(database)?;
                let catalogue = catalogue::load(&pool, &Keyring::default()).await?;
                let (postback, lead) = (PostbackId(*postback), LeadId(*lead));
                let explaining =
                    explaining::explain(&pool, &catalogue, Scope::Everything, postback, lead, *event);
                let explained = explaining.await.map_err(flagged)?;
                let (hearing, message) = conclusion(&explained.findings);
                println!("{}: {message}", hearing.code());
                for finding in &explained.findings {
                    let mark = if finding.passes { "yes" } else { "no" };
                    println!("  {:<9}  {mark:<3}  {}", finding.concern.code(), finding.message);
                }
                if !explained.happened {
                    println!("The conversion has not had the event {}.", event.code());
                }
                if let Some(delivery) = &explained.delivery {
                    let reason = if delivery.reason.is_empty() { "" } else { ": " };
                    println!(
                        "Delivery {} at the time: {}{reason}{}",
                        delivery.delivery_id, delivery.state, delivery.reason
                    );
                }
            }
        }
        Ok(())
    })
}

pub fn key(command: &KeyCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            KeyCommand::Create { advertiser, label, database } => {
                let pool = connect(database)?;
                let made = api_keys::create(&pool, ACTOR, AdvertiserId(*advertiser), label).await;
                let made = made.map_err(flagged)?;
                println!("{}", made.secret);
                eprintln!("Key {}; it is not shown again.", made.record.api_key_id);
            }
            KeyCommand::List(database) => {
                let pool = connect(database)?;
                let list = async |page: &PageRequest| {
                    api_keys::list(&pool, Scope::Everything, Vec::new(), page).await
                };
                for row in all(list).await? {
                    let state = if row.revoked_at.is_some() { "revoked" } else { "live" };
                    println!(
                        "{}  {state:<7}  advertiser {}  {}",
                        row.api_key_id, row.advertiser_id, row.label
                    );
                }
            }
            KeyCommand::Revoke { api_key_id, database } => {
                let pool = connect(database)?;
                api_keys::revoke(&pool, ACTOR, Scope::Everything, *api_key_id).await.map_err(flagged)?;
                println!("Revoked {api_key_id}.");
            }
        }
        Ok(())
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

/// The fault with the name of the argument it is in.
fn flagged(error: ChangeError) -> anyhow::Error {
    let flag = |field: &str| match field {
        "name" | "label" => field.to_owned(),
        "url_template" => "--url".into(),
        "payout_amount" => "--payout".into(),
        field => format!("--{}", field.trim_end_matches("_id").replace('_', "-")),
    };
    match error {
        ChangeError::BadValue { field, message } => anyhow::anyhow!("{}: {message}", flag(field)),
        ChangeError::NotFound { field, what } => {
            anyhow::anyhow!("{}: there is no such {what}; take the id of one there is", flag(field))
        }
        ChangeError::Store(error) => error.into(),
    }
}

fn amount(text: &str) -> Result<Decimal, String> {
    parse_amount(text).map_err(|error| error.to_string())
}

fn kind(text: &str) -> Result<ActionKind, String> {
    coded(text, ActionKind::from_code, ActionKind::ALL.iter().map(|kind| kind.code()))
}

fn payout_model(text: &str) -> Result<PayoutModel, String> {
    coded(text, PayoutModel::from_code, PayoutModel::ALL.iter().map(|model| model.code()))
}

fn event(text: &str) -> Result<Event, String> {
    coded(text, Event::from_code, Event::ALL.iter().map(|event| event.code()))
}

fn coded<T>(
    text: &str,
    from_code: impl Fn(&str) -> Option<T>,
    codes: impl Iterator<Item = &'static str>,
) -> Result<T, String> {
    let text = text.trim().to_lowercase();
    from_code(&text).ok_or_else(|| format!("write one of {}", codes.collect::<Vec<_>>().join(", ")))
}
