//! `ricochet preset`: what is ready for the trackers of this world, and setting it up.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;

use super::flags::{Id, flagged};
use super::output::Output;
use super::{ACTOR, Common};
use crate::config::outbound_policy;
use crate::domain::ids::{AdvertiserId, LinkId, OfferId, PartnerId};
use crate::domain::postback::{Owner, Scope};
use crate::presets::Verified;
use crate::presets::inbound;
use crate::presets::outbound::{self, OutboundPreset};
use crate::store::setup::presets::{Run, set_up};

pub const EXAMPLES: &str = "\
Examples:
  ricochet preset list
  ricochet preset show Keitaro
  ricochet preset apply Keitaro --partner \"$PARTNER\" --registration-link \"$LINK\" \\
      --set domain=tracker.example --set key=a1b2c3d --base-url https://go.example --dry-run";

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
    /// Make a preset's postbacks, all or none, and show the registration link.
    Apply(Box<ApplyPreset>),
}

#[derive(Debug, Args)]
pub struct ApplyPreset {
    /// The system's name, such as Keitaro.
    system: String,
    /// A value the preset asks for; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
    /// Id of the partner the postbacks belong to.
    #[arg(long, value_name = "ID", conflicts_with = "advertiser")]
    partner: Option<Id>,
    /// Id of the advertiser the postbacks belong to.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Id>,
    /// Only for this offer.
    #[arg(long, value_name = "ID", conflicts_with = "link")]
    offer: Option<Id>,
    /// Only for this link.
    #[arg(long, value_name = "ID")]
    link: Option<Id>,
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

fn verified(verified: Verified) -> &'static str {
    match verified {
        Verified::Vendor => "verified",
        Verified::Code => "unverified (public code)",
        Verified::ThirdParty => "unverified (third parties)",
    }
}

fn preset_of(system: &str) -> anyhow::Result<&'static OutboundPreset> {
    let known =
        || outbound::outbound().iter().map(|preset| preset.system.as_str()).collect::<Vec<_>>().join(", ");
    outbound::outbound_of(system)
        .ok_or_else(|| anyhow::anyhow!("there is no preset {system:?} to apply; choose one of {}", known()))
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
        PresetCommand::Show { system, output } => show(preset_of(system)?, output),
        PresetCommand::Apply(args) => apply(args).await,
    }
}

fn show(preset: &OutboundPreset, output: &Output) -> anyhow::Result<()> {
    let mut text =
        format!("{}: {}; {}, {}\n", preset.system, verified(preset.verified), preset.source, preset.checked);
    text += &preset.note;
    for value in &preset.values {
        let default =
            value.default.as_ref().map(|text| format!("; {text} where not given")).unwrap_or_default();
        text += &format!("\n--set {}=…  {}, such as {}{default}", value.name, value.what, value.example);
    }
    let mut postbacks = Vec::new();
    for postback in &preset.postbacks {
        let events: Vec<&str> = postback.events.iter().map(|event| event.code()).collect();
        let condition = postback.condition.as_ref().map(|text| format!(" if {text}")).unwrap_or_default();
        text += &format!("\n{} on {}{condition}\n  {}", postback.name, events.join(", "), postback.url);
        postbacks.push(json!({ "name": postback.name, "events": events, "url": postback.url, "condition": postback.condition }));
    }
    text += &format!(
        "\nIts click id {} goes into the parameter {}.",
        preset.link.click_macro, preset.link.parameter
    );
    let values: Vec<_> = preset
        .values
        .iter()
        .map(|value| json!({ "name": value.name, "kind": value.kind.code(), "what": value.what, "example": value.example, "default": value.default }))
        .collect();
    output.done(
        &text,
        &json!({ "system": preset.system, "verified": verified(preset.verified), "source": preset.source, "note": preset.note,
                 "values": values, "postbacks": postbacks }),
    )
}

async fn apply(args: &ApplyPreset) -> anyhow::Result<()> {
    let preset = preset_of(&args.system)?;
    let owner = match (args.partner, args.advertiser) {
        (Some(id), _) => Owner::Partner(PartnerId(id.0)),
        (None, Some(id)) => Owner::Advertiser(AdvertiserId(id.0)),
        (None, None) => Owner::Platform,
    };
    let scope = match (args.offer, args.link) {
        (Some(id), _) => Scope::Offer(OfferId(id.0)),
        (None, Some(id)) => Scope::Link(LinkId(id.0)),
        (None, None) => Scope::Global,
    };
    let values: BTreeMap<String, String> = args.values.iter().cloned().collect();
    let parameter = args.click_parameter.as_deref();
    let planned = preset.postbacks(&values, parameter).map_err(|error| anyhow::anyhow!("--set {error}"))?;
    let base = args.base_url.trim().trim_end_matches('/');
    let link = args
        .registration_link
        .or(args.link)
        .map(|id| {
            let click_url = format!("{base}/click/{}", id.0);
            let click_macro = args.click_macro.as_deref();
            preset.registration_link(&click_url, &values, parameter, click_macro, &args.extras)
        })
        .transpose()?;
    let run = if args.dry_run { Run::Dry } else { Run::Real };
    let ids = set_up(&args.common.pool()?, ACTOR, owner, scope, &planned, &outbound_policy()?, run).await;
    let ids = ids.map_err(|error| flagged(error, &[]))?;
    let mut text = String::new();
    for (postback, id) in planned.iter().zip(&ids) {
        let made = if args.dry_run { "would be made".to_owned() } else { id.to_string() };
        text += &format!("{made}  {}  {}\n", postback.name, postback.url_template);
    }
    match &link {
        Some(link) => text += &format!("registration link: {link}"),
        None => text += "registration link: name a link with --registration-link",
    }
    if preset.verified != Verified::Vendor {
        eprintln!("This preset is {}: try it with a test conversion first.", verified(preset.verified));
    }
    let ids: Vec<_> = ids.iter().filter(|_| run == Run::Real).collect();
    args.common
        .output
        .done(&text, &json!({ "postbacks": planned, "postback_ids": ids, "registration_link": link }))
}
