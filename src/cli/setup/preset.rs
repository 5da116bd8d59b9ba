//! `ricochet preset`: what is ready for the trackers of this world, and setting it up.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;

use super::flags::{Id, flagged};
use super::output::Output;
use super::owner::OwnerFlags;
use super::postback::twins;
use super::{ACTOR, Common};
use crate::config::outbound_policy;
use crate::domain::ids::{AdvertiserId, LinkId};
use crate::graphql::scope::Scope;
use crate::presets::outbound;
use crate::presets::{Half, Halves, Verified, inbound};
use crate::store::setup::presets::{PlannedIntegration, Run, Setup, set_up};

pub const EXAMPLES: &str = "\
Examples:
  ricochet preset list
  ricochet preset show Keitaro
  ricochet preset apply Keitaro --partner \"$PARTNER\" --registration-link \"$LINK\" \\
      --set domain=tracker.example --set key=a1b2c3d --base-url https://go.example --dry-run
  ricochet preset apply 1win --integration-advertiser \"$ADVERTISER\" --base-url https://go.example \\
      --program-url 'https://1win.example/?p=abc'";

#[derive(Debug, Subcommand)]
pub enum PresetCommand {
    /// List the systems there is something ready for.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show what a preset asks for and what it sends.
    Show {
        /// The system's name, such as Keitaro.
        system: String,
        #[command(flatten)]
        output: Output,
    },
    /// Make a preset's postbacks and integration, all or nothing, and show the URLs to paste.
    Apply(Box<ApplyPreset>),
}

#[derive(Debug, Args)]
pub struct ApplyPreset {
    /// The system's name, such as Keitaro.
    system: String,
    /// Only this half of a system that has two.
    #[arg(long, value_name = "HALF", value_parser = half)]
    direction: Option<Half>,
    /// Id of the advertiser the system reports for; that of --advertiser, --offer or the link where
    /// it is not given.
    #[arg(long, value_name = "ID")]
    integration_advertiser: Option<Id>,
    /// The link of the program that reports to us, as it gives it out.
    #[arg(long, value_name = "URL")]
    program_url: Option<String>,
    /// A value the preset asks for; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    #[command(flatten)]
    owner: OwnerFlags,
    /// The link the registration link is made of; that of --link where it is not given.
    #[arg(long, value_name = "ID")]
    registration_link: Option<Id>,
    /// The server's address as visitors see it.
    #[arg(long, value_name = "URL", default_value = "")]
    base_url: String,
    /// The parameter of the link that carries the tracker's click id, such as clickid or sub4.
    #[arg(long, value_name = "NAME")]
    click_parameter: Option<String>,
    /// The tracker's macro of its click id, where it is not the preset's.
    #[arg(long, value_name = "MACRO")]
    click_macro: Option<String>,
    /// A further parameter of the link; may be repeated.
    #[arg(long = "extra", value_name = "NAME=VALUE", value_parser = pair)]
    extras: Vec<(String, String)>,
    /// Make the postbacks also where others of the same owner send the same: everything is told twice then.
    #[arg(long)]
    allow_duplicate: bool,
    /// Only show what it would come to.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn half(text: &str) -> Result<Half, &'static str> {
    match text {
        "inbound" => Ok(Half::Inbound),
        "outbound" => Ok(Half::Outbound),
        _ => Err("write inbound (it reports to us) or outbound (we tell it)"),
    }
}

fn verified(verified: Verified) -> &'static str {
    match verified {
        Verified::Vendor => "verified",
        Verified::Code => "unverified (public code)",
        Verified::ThirdParty => "unverified (third parties)",
    }
}

fn halves_of(system: &str) -> anyhow::Result<Halves> {
    let known = || Halves::systems().join(", ");
    Halves::of(system)
        .ok_or_else(|| anyhow::anyhow!("there is no preset {system:?}; choose one of {}", known()))
}

pub async fn run(command: &PresetCommand) -> anyhow::Result<()> {
    match command {
        PresetCommand::List { output } => {
            let told = outbound::outbound()
                .iter()
                .map(|preset| (&preset.system, "told", preset.verified, &preset.source));
            let tells =
                inbound().iter().map(|preset| (&preset.system, "tells us", preset.verified, &preset.source));
            let rows: Vec<_> = told
                .chain(tells)
                .map(|(system, direction, mark, source)| {
                    json!({ "system": system, "direction": direction, "verified": verified(mark), "source": source })
                })
                .collect();
            output.rows(&rows, &["system", "direction", "verified", "source"])
        }
        PresetCommand::Show { system, output } => show(halves_of(system)?, output),
        PresetCommand::Apply(args) => apply(args).await,
    }
}

fn show(halves: Halves, output: &Output) -> anyhow::Result<()> {
    let mut text = format!("{}: {}\n{}", halves.system(), verified(halves.verified()), halves.note());
    let mut values = Vec::new();
    for value in halves.outbound.iter().flat_map(|preset| &preset.values) {
        let default =
            value.default.as_ref().map(|text| format!("; {text} where not given")).unwrap_or_default();
        text += &format!("\n--set {}=…  {}, such as {}{default}", value.name, value.what, value.example);
        values.push(json!({ "name": value.name, "kind": value.kind.code(), "what": value.what, "example": value.example, "default": value.default }));
    }
    let mut postbacks = Vec::new();
    for postback in halves.outbound.iter().flat_map(|preset| &preset.postbacks) {
        let events: Vec<&str> = postback.events.iter().map(|event| event.code()).collect();
        let condition = postback.condition.as_ref().map(|text| format!(" if {text}")).unwrap_or_default();
        let required = postback.required_macros();
        text += &format!(
            "\n{} on {}{condition}, without {} skipped\n  {}",
            postback.name,
            events.join(", "),
            required.join(" or "),
            postback.url
        );
        postbacks.push(json!({ "name": postback.name, "events": events, "url": postback.url, "condition": postback.condition, "required_macros": required }));
    }
    if let Some(preset) = halves.outbound {
        let link = &preset.link;
        text += &format!("\nIts click id {} goes into the parameter {}.", link.click_macro, link.parameter);
    }
    let addresses = halves.inbound.map_or_else(Vec::new, |preset| preset.addresses("", "{integration_id}"));
    for (event, address) in &addresses {
        text += &format!("\n{event} is reported to\n  {address}");
    }
    let sources = [
        halves.outbound.map(|preset| (&preset.source, &preset.checked)),
        halves.inbound.map(|preset| (&preset.source, &preset.checked)),
    ];
    for (source, checked) in sources.into_iter().flatten() {
        text += &format!("\nSource: {source}, {checked}");
    }
    let urls: BTreeMap<String, String> = addresses.into_iter().collect();
    output.done(
        &text,
        &json!({ "system": halves.system(), "verified": verified(halves.verified()), "note": halves.note(),
                 "source": sources.iter().flatten().map(|(source, _)| source).collect::<Vec<_>>(),
                 "values": values, "postbacks": postbacks, "inbound_urls": urls }),
    )
}

async fn apply(args: &ApplyPreset) -> anyhow::Result<()> {
    let known = halves_of(&args.system)?;
    let halves = match args.direction {
        None => known,
        Some(half) => known.only(half).ok_or_else(|| {
            anyhow::anyhow!("--direction: {} has no such half; leave it out", known.system())
        })?,
    };
    args.check(halves)?;
    let values: BTreeMap<String, String> = args.values.iter().cloned().collect();
    let parameter = args.click_parameter.as_deref();
    let planned = halves.outbound.map(|preset| preset.postbacks(&values, parameter)).transpose();
    let planned = planned.map_err(|error| anyhow::anyhow!("--set {error}"))?.unwrap_or_default();
    let base = args.base_url.trim().trim_end_matches('/');
    let link_id = args.registration_link.or(args.owner.link).map(|id| LinkId(id.0));
    let link = link_id
        .map(|id| {
            let click_url = format!("{base}/click/{id}");
            let click_macro = args.click_macro.as_deref();
            halves.registration_link(&click_url, &values, parameter, click_macro, &args.extras)
        })
        .transpose()?;
    let run = if args.dry_run { Run::Dry } else { Run::Real };
    let program = halves.inbound.zip(args.program_url.as_deref());
    let program_link = program.map(|(preset, url)| preset.program_link(url.trim())).transpose();
    let program_link = program_link.map_err(|error| anyhow::anyhow!("--program-url: {}", error.message))?;
    let integration = halves.inbound.map(|preset| PlannedIntegration {
        preset,
        advertiser: args.integration_advertiser.map(|id| AdvertiserId(id.0)),
    });
    let (owner, scope) = (args.owner.owner(), args.owner.scope());
    let (system, twins) = (halves.system(), twins(args.allow_duplicate));
    let setup = Setup { owner, scope, system, postbacks: &planned, twins, link: link_id, integration };
    let made = set_up(&args.common.pool()?, ACTOR, Scope::Everything, &setup, &outbound_policy()?, run).await;
    let made = made.map_err(|error| flagged(error, &[("values", "--set")]))?;
    let is_real = run == Run::Real;
    let mut text = String::new();
    for (postback, id) in planned.iter().zip(&made.postbacks) {
        let shown = if is_real { id.to_string() } else { "would be made".to_owned() };
        text += &format!("{shown}  {}  {}\n", postback.name, postback.request.url_template);
    }
    let integration_id = made.integration.filter(|_| is_real);
    let shown_id = integration_id.map_or_else(|| "{integration_id}".to_owned(), |id| id.to_string());
    let addresses = halves.inbound.map_or_else(Vec::new, |preset| preset.addresses(base, &shown_id));
    for (event, address) in &addresses {
        text += &format!("paste for {event}: {address}\n");
    }
    if let Some(link) = &program_link {
        text += &format!("landing URL of the offer: {link}\n");
    }
    match &link {
        Some(link) => text += &format!("registration link: {link}"),
        None => text += "registration link: name a link with --registration-link",
    }
    if halves.verified() != Verified::Vendor {
        eprintln!("This preset is {}: try it with a test conversion first.", verified(halves.verified()));
    }
    let ids: &[uuid::Uuid] = if is_real { &made.postbacks } else { &[] };
    let urls: BTreeMap<String, String> = addresses.into_iter().collect();
    args.common.output.done(
        &text,
        &json!({ "postbacks": planned, "postback_ids": ids, "integration_id": integration_id.map(|id| id.0),
                 "inbound_urls": urls, "registration_link": link, "program_link": program_link }),
    )
}

impl ApplyPreset {
    /// Refuses what is said of a half that is not set up.
    fn check(&self, halves: Halves) -> anyhow::Result<()> {
        let system = halves.system();
        let of_postbacks = [("--set", !self.values.is_empty()), ("--partner", self.owner.partner.is_some())];
        let of_integration = [
            ("--integration-advertiser", self.integration_advertiser.is_some()),
            ("--program-url", self.program_url.is_some()),
        ];
        if halves.outbound.is_none()
            && let Some((flag, _)) = of_postbacks.iter().find(|(_, is_given)| *is_given)
        {
            anyhow::bail!("{flag}: {system} is not told anything by this; leave it out");
        }
        if halves.inbound.is_none()
            && let Some((flag, _)) = of_integration.iter().find(|(_, is_given)| *is_given)
        {
            anyhow::bail!("{flag}: {system} does not report to us by this; leave it out");
        }
        Ok(())
    }
}
