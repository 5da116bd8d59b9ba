//! `ricochet postback`.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

use super::flags::{Id, event, flagged};
use super::postback_signing::{self, PostbackSecretCommand, SignPostback};
use super::{ACTOR, Common, all};
use crate::cli::deliveries::send_past::{self, SendPastArgs};
use crate::domain::event::Event;
use crate::domain::explanation::conclusion;
use crate::domain::ids::{AdvertiserId, LeadId, LinkId, OfferId, PartnerId, PostbackId};
use crate::domain::postback::{Owner, Scope as PostbackScope};
use crate::graphql::paging::PageRequest;
use crate::graphql::scope::Scope;
use crate::store::secrets::Keyring;
use crate::store::setup::postbacks::{self, PostbackChange, Sending};
use crate::store::{catalogue, explaining};

pub const EXAMPLES: &str = "\
Examples:
  ricochet postback create --partner \"$PARTNER\" --events hold,approve,reject \\
      --url 'https://tracker.example/postback?cid={clickid}&status={status}&payout={payout}'
  ricochet postback update \"$POSTBACK\" --condition 'payout >= 10'
  ricochet postback pause \"$POSTBACK\"
  ricochet postback resume \"$POSTBACK\"";

#[derive(Debug, Subcommand)]
pub enum PostbackCommand {
    /// Make a postback, and print its id. With neither --partner nor --advertiser it is the
    /// platform's own.
    Create(Box<CreatePostback>),
    /// List all that are not deleted, newest first.
    List(Common),
    /// Change a postback; attempts from now on follow it.
    Update(Box<UpdatePostback>),
    /// Let the deliveries of a postback wait.
    Pause(OnePostback),
    /// Send what has been waiting, and what comes.
    Resume(OnePostback),
    /// Delete a postback: it hears of nothing new, and what it was promised is still sent.
    Delete(OnePostback),
    /// Say why a postback is told of a conversion's event, or is not.
    Explain(ExplainPostback),
    /// Deliver a postback for the conversions it came too late for, through a running server.
    SendPast(Box<SendPastArgs>),
    /// Say how a postback is signed: in headers, in its URL, or not at all.
    Sign(SignPostback),
    /// Make, list and retire the secrets that a postback is signed with.
    #[command(subcommand)]
    Secret(PostbackSecretCommand),
}

#[derive(Debug, Args)]
pub struct OnePostback {
    /// The id that `ricochet postback list` shows.
    postback_id: Id,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct ExplainPostback {
    /// The id that `ricochet postback list` shows.
    postback_id: Id,
    /// The conversion.
    lead_id: Id,
    /// Such as approve.
    #[arg(value_parser = event)]
    event: Event,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct CreatePostback {
    /// Id of the partner it belongs to.
    #[arg(long, value_name = "ID", conflicts_with = "advertiser")]
    partner: Option<Id>,
    /// Id of the advertiser it belongs to.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Id>,
    /// Only for this offer.
    #[arg(long, value_name = "ID", conflicts_with = "link")]
    offer: Option<Id>,
    /// Only for this link.
    #[arg(long, value_name = "ID")]
    link: Option<Id>,
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
    common: Common,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["events", "url", "condition"]))]
pub struct UpdatePostback {
    /// The id that `ricochet postback list` shows.
    postback_id: Id,
    /// All events it hears of from now on, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = event)]
    events: Option<Vec<Event>>,
    /// Where it is sent from now on.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Only events it is true of, from now on; an empty one removes it.
    #[arg(long, value_name = "EXPRESSION")]
    condition: Option<String>,
    #[command(flatten)]
    common: Common,
}

const SPELLED: &[(&str, &str)] =
    &[("url_template", "--url"), ("postback_id", "POSTBACK_ID"), ("lead_id", "LEAD_ID")];

pub async fn run(command: &PostbackCommand) -> anyhow::Result<()> {
    match command {
        PostbackCommand::Create(args) => create(args).await,
        PostbackCommand::List(common) => {
            let pool = common.pool()?;
            let list = async |page: &PageRequest| postbacks::list(&pool, Scope::Everything, page).await;
            common.output.rows(&all(list).await?, &["postback_id", "is_paused", "events", "url_template"])
        }
        PostbackCommand::Update(args) => {
            let settings = PostbackChange {
                events: args.events.clone(),
                url_template: args.url.clone(),
                condition: args.condition.clone(),
                ..PostbackChange::default()
            };
            let id = PostbackId(args.postback_id.0);
            let pool = args.common.pool()?;
            let changed = postbacks::update(&pool, ACTOR, Scope::Everything, id, settings).await;
            args.common.output.row(&changed.map_err(|error| flagged(error, SPELLED))?)
        }
        PostbackCommand::Explain(args) => explain(args).await,
        PostbackCommand::Pause(one) => set_sending(one, Sending::Paused).await,
        PostbackCommand::SendPast(args) => send_past::run(args).await,
        PostbackCommand::Resume(one) => set_sending(one, Sending::Resumed).await,
        PostbackCommand::Sign(args) => postback_signing::sign(args).await,
        PostbackCommand::Secret(command) => postback_signing::secret(command).await,
        PostbackCommand::Delete(one) => {
            let id = PostbackId(one.postback_id.0);
            let deleted = postbacks::delete(&one.common.pool()?, ACTOR, Scope::Everything, id).await;
            deleted.map_err(|error| flagged(error, SPELLED))?;
            one.common.output.done(&format!("Deleted {id}."), &json!({ "postback_id": id }))
        }
    }
}

async fn create(args: &CreatePostback) -> anyhow::Result<()> {
    let owner = match (args.partner, args.advertiser) {
        (Some(id), _) => Owner::Partner(PartnerId(id.0)),
        (None, Some(id)) => Owner::Advertiser(AdvertiserId(id.0)),
        (None, None) => Owner::Platform,
    };
    let scope = match (args.offer, args.link) {
        (Some(id), _) => PostbackScope::Offer(OfferId(id.0)),
        (None, Some(id)) => PostbackScope::Link(LinkId(id.0)),
        (None, None) => PostbackScope::Global,
    };
    let settings = PostbackChange {
        events: Some(args.events.clone()),
        url_template: Some(args.url.clone()),
        condition: args.condition.clone(),
        ..PostbackChange::default()
    };
    let made = postbacks::create(&args.common.pool()?, ACTOR, owner, scope, settings).await;
    let made = made.map_err(|error| flagged(error, SPELLED))?;
    args.common.output.made(made.postback_id, &made)
}

async fn explain(args: &ExplainPostback) -> anyhow::Result<()> {
    let pool = args.common.pool()?;
    let catalogue = catalogue::load(&pool, &Keyring::default()).await?;
    let (postback, lead) = (PostbackId(args.postback_id.0), LeadId(args.lead_id.0));
    let explaining = explaining::explain(&pool, &catalogue, Scope::Everything, postback, lead, args.event);
    let explained = explaining.await.map_err(|error| flagged(error, SPELLED))?;
    let (hearing, message) = conclusion(&explained.findings);
    let mut text = format!("{}: {message}", hearing.code());
    for finding in &explained.findings {
        let mark = if finding.passes { "yes" } else { "no" };
        text += &format!("\n  {:<9}  {mark:<3}  {}", finding.concern.code(), finding.message);
    }
    if !explained.happened {
        text += &format!("\nThe conversion has not had the event {}.", args.event.code());
    }
    if let Some(delivery) = &explained.delivery {
        let reason = if delivery.reason.is_empty() { "" } else { ": " };
        text += &format!(
            "\nDelivery {} at the time: {}{reason}{}",
            delivery.delivery_id, delivery.state, delivery.reason
        );
    }
    args.common
        .output
        .done(&text, &json!({ "hearing": hearing, "message": message, "explanation": explained }))
}

async fn set_sending(one: &OnePostback, sending: Sending) -> anyhow::Result<()> {
    let id = PostbackId(one.postback_id.0);
    let set = postbacks::set_sending(&one.common.pool()?, ACTOR, Scope::Everything, id, sending).await;
    one.common.output.row(&set.map_err(|error| flagged(error, SPELLED))?)
}
