//! `ricochet postback`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

use super::flags::{Id, coded, event, flagged, yes_or_no};
use super::owner::OwnerFlags;
use super::postback_request::RequestFlags;
use super::postback_signing::{self, PostbackSecretCommand, SignPostback};
use super::sending::{self, SPELLED, SendingArgs};
use super::{ACTOR, Common, all};
use crate::cli::deliveries::send_past::{self, SendPastArgs};
use crate::cli::deliveries::test_postback::{self, TestPostback};
use crate::config::{master_keys, outbound_policy};
use crate::domain::access::signature::SharedSecret;
use crate::domain::client_certificate::ClientCertificate;
use crate::domain::event::Event;
use crate::domain::explanation::conclusion;
use crate::domain::ids::{LeadId, PostbackId};
use crate::domain::request_settings::{Fault, Translated};
use crate::domain::request_template::SkipReason;
use crate::graphql::paging::PageRequest;
use crate::graphql::scope::Scope;
use crate::store::secrets::Keyring;
use crate::store::setup::postback_certificates;
use crate::store::setup::postback_listing::{OwnerKind, PostbackFilter, ScopeKind, TextIn};
use crate::store::setup::postback_trial::{self, Occasion};
use crate::store::setup::postback_twins::Twins;
use crate::store::setup::postbacks::{self, Beginning, PostbackChange, Sending};
use crate::store::{
    catalogue, explaining,
    postback_secrets::{self, NoSecret},
};

pub const EXAMPLES: &str = "\
Examples:
  ricochet postback create --partner \"$PARTNER\" --events hold,approve,reject \\
      --url 'https://tracker.example/postback?cid={clickid}&status={status}&payout={payout}'
  ricochet postback preview \"$POSTBACK\" --lead \"$LEAD\"
  ricochet postback test \"$POSTBACK\" --event sale
  ricochet postback update \"$POSTBACK\" --rate-per-second 5 --max-in-flight 4 --retry-schedule 10s,1m,10m
  ricochet postback update \"$POSTBACK\" --condition 'payout >= 10'
  ricochet postback pause \"$POSTBACK\"
  ricochet postback resume \"$POSTBACK\"";

#[derive(Debug, Subcommand)]
pub enum PostbackCommand {
    /// Make a postback, and print its id. With neither --partner nor --advertiser it is the
    /// platform's own.
    Create(Box<CreatePostback>),
    /// List those that are not deleted, newest first.
    List(Box<ListPostbacks>),
    /// Show all there is to a postback.
    Show(OnePostback),
    /// Change a postback; attempts from now on follow it.
    Update(Box<UpdatePostback>),
    /// Show what a postback, or a draft, would send, without sending it.
    Preview(Box<PreviewPostback>),
    /// Send a postback once, marked as a test, through a running server, and show what came of it;
    /// exits with 1 where it was not delivered.
    Test(TestPostback),
    /// Let the deliveries of a postback wait.
    Pause(OnePostback),
    /// Send what has been waiting, and what comes.
    Resume(OnePostback),
    /// Show a client certificate over TLS to a destination that asks for one. The private key is
    /// encrypted under RICOCHET_MASTER_KEY, which must be that of the server.
    SetCertificate(SetCertificate),
    /// Show no client certificate any more.
    RemoveCertificate(OnePostback),
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
pub struct ListPostbacks {
    /// Only those of partners, of advertisers, or the platform's own.
    #[arg(long, value_name = "WHOSE", value_parser = owner_kind)]
    owner: Option<OwnerKind>,
    /// Only those of this partner.
    #[arg(long, value_name = "ID")]
    partner: Option<Id>,
    /// Only those of this advertiser.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Id>,
    /// Only those of this offer or of one of its links.
    #[arg(long, value_name = "ID")]
    offer: Option<Id>,
    /// Only those of this link.
    #[arg(long, value_name = "ID")]
    link: Option<Id>,
    /// Only those for all offers (global), for one offer, or for one link.
    #[arg(long, value_name = "WHAT", value_parser = scope_kind)]
    scope: Option<ScopeKind>,
    /// Only those that are paused, or that are not: yes or no.
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    paused: Option<bool>,
    /// Only those whose destinations are failing, or are not: yes or no.
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    failing: Option<bool>,
    /// Only those made of this system's preset, such as Keitaro.
    #[arg(long, value_name = "SYSTEM")]
    preset: Option<String>,
    /// Only those with this text in their name or URL, whatever its case.
    #[arg(long)]
    text: Option<String>,
    #[command(flatten)]
    common: Common,
}

fn owner_kind(text: &str) -> Result<OwnerKind, String> {
    coded(text, OwnerKind::from_code, OwnerKind::ALL.iter().map(|kind| kind.code()))
}

fn scope_kind(text: &str) -> Result<ScopeKind, String> {
    coded(text, ScopeKind::from_code, ScopeKind::ALL.iter().map(|kind| kind.code()))
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
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    owner: OwnerFlags,
    /// Make it also where another of the same owner sends the same: everything is told twice then.
    #[arg(long)]
    allow_duplicate: bool,
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
    /// What it hears of waits until `ricochet postback resume`; try it out before.
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    request: RequestFlags,
    #[command(flatten)]
    sending: SendingArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args([
        "name", "events", "url", "condition", "method", "headers", "body_kind", "body", "content_type", "required",
        "success",
    ])
    .args(sending::NAMES))]
pub struct UpdatePostback {
    /// The id that `ricochet postback list` shows.
    postback_id: Id,
    /// What people call it; an empty one removes it.
    #[arg(long)]
    name: Option<String>,
    /// Let it send the same as another of the same owner: everything is told twice then.
    #[arg(long)]
    allow_duplicate: bool,
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
    request: RequestFlags,
    #[command(flatten)]
    sending: SendingArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct PreviewPostback {
    /// The id that `ricochet postback list` shows; without it, the flags make a draft.
    postback_id: Option<Id>,
    /// Id of the conversion to fill it with; a sample without it.
    #[arg(long, value_name = "ID")]
    lead: Option<Id>,
    /// The event to tell it as; the conversion's last, or approve for a sample.
    #[arg(long, value_parser = event)]
    event: Option<Event>,
    /// Another URL than is stored.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    request: RequestFlags,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct SetCertificate {
    /// The id that `ricochet postback list` shows.
    postback_id: Id,
    /// File of the certificate and those that vouch for it, as PEM.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// File of its private key, as PEM without a passphrase.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    common: Common,
}

pub async fn run(command: &PostbackCommand) -> anyhow::Result<()> {
    match command {
        PostbackCommand::Create(args) => create(args).await,
        PostbackCommand::List(args) => {
            let (pool, filter) = (args.common.pool()?, args.filter());
            let list =
                async |page: &PageRequest| postbacks::list(&pool, Scope::Everything, &filter, page).await;
            let columns = ["postback_id", "name", "is_paused", "events", "url_template"];
            args.common.output.rows(&all(list).await?, &columns)
        }
        PostbackCommand::Show(one) => {
            let id = PostbackId(one.postback_id.0);
            let shown = postbacks::get(&one.common.pool()?, Scope::Everything, id).await;
            one.common.output.row(&shown.map_err(|error| flagged(error, SPELLED))?)
        }
        PostbackCommand::Update(args) => {
            let settings = PostbackChange {
                name: args.name.clone(),
                twins: twins(args.allow_duplicate),
                events: args.events.clone(),
                request: args.request.change(args.url.clone()),
                condition: args.condition.clone(),
                max_in_flight: args.sending.max_in_flight,
                sending: args.sending.change(),
                ..PostbackChange::default()
            };
            let id = PostbackId(args.postback_id.0);
            let pool = args.common.pool()?;
            let changed =
                postbacks::update(&pool, ACTOR, &outbound_policy()?, Scope::Everything, id, settings).await;
            let changed = changed.map_err(|error| flagged(error, SPELLED))?;
            tell_reading(&changed.translated, &changed.warnings);
            args.common.output.row(&changed)
        }
        PostbackCommand::Preview(args) => preview(args).await,
        PostbackCommand::Test(args) => test_postback::run(args).await,
        PostbackCommand::Explain(args) => explain(args).await,
        PostbackCommand::Pause(one) => set_sending(one, Sending::Paused).await,
        PostbackCommand::SendPast(args) => send_past::run(args).await,
        PostbackCommand::Resume(one) => set_sending(one, Sending::Resumed).await,
        PostbackCommand::SetCertificate(args) => set_certificate(args).await,
        PostbackCommand::RemoveCertificate(one) => {
            let id = PostbackId(one.postback_id.0);
            let pool = one.common.pool()?;
            let removed = postback_certificates::remove(&pool, ACTOR, Scope::Everything, id).await;
            removed.map_err(|error| flagged(error, SPELLED))?;
            one.common.output.done(&format!("{id} shows no certificate."), &json!({ "postback_id": id }))
        }
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

impl ListPostbacks {
    fn filter(&self) -> PostbackFilter {
        let id = |id: Option<Id>| id.map(|id| id.0);
        PostbackFilter {
            owner: self.owner,
            partner_id: id(self.partner),
            advertiser_id: id(self.advertiser),
            offer_id: id(self.offer),
            link_id: id(self.link),
            scope: self.scope,
            is_paused: self.paused,
            is_failing: self.failing,
            preset: self.preset.clone(),
            text: self.text.clone(),
            text_in: TextIn::NameAndUrl,
        }
    }
}

pub fn twins(are_allowed: bool) -> Twins {
    if are_allowed { Twins::Allowed } else { Twins::Refused }
}

async fn create(args: &CreatePostback) -> anyhow::Result<()> {
    let settings = PostbackChange {
        name: args.name.clone(),
        twins: twins(args.allow_duplicate),
        events: Some(args.events.clone()),
        request: args.request.change(Some(args.url.clone())),
        condition: args.condition.clone(),
        max_in_flight: args.sending.max_in_flight,
        sending: args.sending.change(),
        ..PostbackChange::default()
    };
    let made = postbacks::create(
        &args.common.pool()?,
        ACTOR,
        Scope::Everything,
        &outbound_policy()?,
        Beginning {
            owner: args.owner.owner(),
            scope: args.owner.scope(),
            sending: if args.paused { Sending::Paused } else { Sending::Resumed },
        },
        settings,
    )
    .await;
    let made = made.map_err(|error| flagged(error, SPELLED))?;
    tell_reading(&made.translated, &made.warnings);
    args.common.output.made(made.postback_id, &made)
}

async fn preview(args: &PreviewPostback) -> anyhow::Result<()> {
    let pool = args.common.pool()?;
    let (secret, sealed) = match args.postback_id {
        None => (None, None),
        Some(id) => match postback_secrets::newest(&pool, &master_keys()?, PostbackId(id.0)).await {
            Ok(secret) => (secret, None),
            Err(NoSecret::Sealed(fault)) => (None, Some(fault)),
            Err(NoSecret::Store(error)) => return Err(error.into()),
        },
    };
    let secret = secret.as_ref().map(SharedSecret::text_key);
    let previewing = async {
        let lead = args.lead.map(|id| LeadId(id.0));
        let occasion = Occasion::of(&pool, Scope::Everything, lead, args.event).await?;
        let postback = args.postback_id.map(|id| PostbackId(id.0));
        let change = args.request.change(args.url.clone());
        postback_trial::preview(&pool, Scope::Everything, postback, change, &occasion, secret).await
    };
    let mut preview = previewing.await.map_err(|error| flagged(error, SPELLED))?;
    if let Some(fault) = sealed {
        // The server has the key, and sends it.
        let not_here = SkipReason::NoSecret.to_string();
        let before = preview.skip_reasons.len();
        preview.skip_reasons.retain(|reason| *reason != not_here);
        if preview.skip_reasons.len() < before {
            eprintln!("What hmac makes is left empty here, as the secret cannot be read: {fault}.");
        }
    }
    tell_reading(&preview.translated, &preview.warnings);
    for reason in &preview.skip_reasons {
        eprintln!("It would not be sent: {reason}.");
    }
    if !preview.empty_macros.is_empty() {
        eprintln!("Without a value: {}.", preview.empty_macros.join(", "));
    }
    let headers: Vec<String> =
        preview.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut shown = format!("{} {}", preview.method, preview.url);
    for header in headers {
        shown += &format!("\n{header}");
    }
    if !preview.body.is_empty() {
        shown += &format!("\n\n{}", preview.body);
    }
    args.common.output.done(&shown, &preview)
}

fn tell_reading(translated: &[Translated], warnings: &[Fault]) {
    for one in translated {
        eprintln!("Read {} as {}.", one.from, one.to);
    }
    for one in warnings {
        eprintln!("Note: {}.", one.message);
    }
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

async fn set_certificate(args: &SetCertificate) -> anyhow::Result<()> {
    let read = |flag: &str, path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("{flag}: {} cannot be read", path.display()))
    };
    let certificate =
        ClientCertificate::new(read("--certificate", &args.certificate)?, read("--key", &args.key)?);
    let (pool, keyring, id) = (args.common.pool()?, master_keys()?, PostbackId(args.postback_id.0));
    let set = postback_certificates::set(&pool, ACTOR, Scope::Everything, &keyring, id, &certificate).await;
    set.map_err(|error| flagged(error, SPELLED))?;
    args.common.output.done(&format!("{id} shows the certificate."), &json!({ "postback_id": id }))
}
