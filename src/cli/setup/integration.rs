//! `ricochet integration`: how foreign systems report to an advertiser.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use url::Url;

use super::flags::{Id, OrNone, flagged, id_or_none, yes_or_no};
use super::integration_file::IntegrationFile;
use super::output::Output;
use super::{ACTOR, Common};
use crate::domain::ids::{AdvertiserId, IntegrationId, OfferId};
use crate::graphql::scope::Scope;
use crate::presets::{self, InboundPreset};
use crate::store::integrations::{IntegrationRecord, SecretRule};
use crate::store::setup::integrations::{self, Settings};

pub const EXAMPLES: &str = "\
Examples:
  ricochet integration presets
  ricochet integration create --advertiser \"$ADVERTISER\" --preset Affise
  ricochet integration create --advertiser \"$ADVERTISER\" --name Shop --file shop.toml
  ricochet integration show \"$INTEGRATION\" --server https://hub.example
  ricochet integration update \"$INTEGRATION\" --offer \"$OFFER\"
  ricochet integration require-secret \"$INTEGRATION\"

A file is TOML, and `-` is standard input; what it leaves out is the preset's, or stays as it is:

  name = \"Shop\"
  allowed_networks = [\"203.0.113.0/24\"]

  [field_map]                # our fields, and where their values come from
  click_id = [\"{sub1}\"]
  request_id = [\"{order}\"]
  status = [\"{state}\"]

  [words]                    # at create: what the sender's words mean
  done = \"approved\"

  [answers]                  # success_code, success_body, success_content_type,
  success_body = \"OK\"        # refusal_code, refusal_body, refusal_content_type";

#[derive(Debug, Subcommand)]
pub enum IntegrationCommand {
    /// List integrations, by name.
    List {
        /// Only those of this advertiser.
        #[arg(long, value_name = "ID")]
        advertiser: Option<Id>,
        #[command(flatten)]
        common: Common,
    },
    /// List the systems there is a ready integration for.
    Presets(Output),
    /// Show an integration with its URLs.
    Show {
        /// The id that `ricochet integration list` shows.
        integration_id: Id,
        #[command(flatten)]
        urls: Urls,
        #[command(flatten)]
        common: Common,
    },
    /// Make an integration, and print its id; what to enter in the other system goes to standard
    /// error.
    Create(Box<CreateIntegration>),
    /// Change an integration; its URLs and its secret stay.
    Update(Box<UpdateIntegration>),
    /// Make the sender send a secret in the parameter `secret`, and print it. It is shown once;
    /// the old one ends at once.
    RequireSecret(OneIntegration),
    /// Take requests without a secret.
    LiftSecret(OneIntegration),
}

#[derive(Debug, Args)]
pub struct OneIntegration {
    /// The id that `ricochet integration list` shows.
    integration_id: Id,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct Urls {
    /// Address of the server, as the other system reaches it.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: Url,
    /// With what to enter in this system for each of its events.
    #[arg(long, value_name = "SYSTEM", value_parser = preset)]
    preset: Option<&'static InboundPreset>,
}

#[derive(Debug, Args)]
pub struct CreateIntegration {
    /// Whose it is to be.
    #[arg(long, value_name = "ID")]
    advertiser: Id,
    /// What people call it; the system's name where a preset is given.
    #[arg(long)]
    name: Option<String>,
    /// Only clicks of this offer.
    #[arg(long, value_name = "ID")]
    offer: Option<Id>,
    /// Field map, words, answers and networks, in TOML; - for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Take no requests yet.
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    urls: Urls,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "offer", "file", "default_answers", "active"]))]
pub struct UpdateIntegration {
    /// The id that `ricochet integration list` shows.
    integration_id: Id,
    /// What people call it from now on.
    #[arg(long)]
    name: Option<String>,
    /// Only clicks of this offer; none: of all offers of the advertiser.
    #[arg(long, value_name = "ID|none", value_parser = id_or_none)]
    offer: Option<OrNone<Id>>,
    /// Field map, answers and networks, in TOML; - for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// Answer as every door does, apart from what the file says.
    #[arg(long)]
    default_answers: bool,
    /// Whether it takes requests: yes or no.
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    active: Option<bool>,
    #[command(flatten)]
    common: Common,
}

const SPELLED: &[(&str, &str)] = &[
    ("integration_id", "INTEGRATION_ID"),
    ("field_map", "--file: field_map"),
    ("allowed_networks", "--file: allowed_networks"),
    ("answers.success_code", "--file: answers.success_code"),
    ("answers.success_body", "--file: answers.success_body"),
    ("answers.success_content_type", "--file: answers.success_content_type"),
    ("answers.refusal_code", "--file: answers.refusal_code"),
    ("answers.refusal_body", "--file: answers.refusal_body"),
    ("answers.refusal_content_type", "--file: answers.refusal_content_type"),
];

pub async fn run(command: &IntegrationCommand) -> anyhow::Result<()> {
    match command {
        IntegrationCommand::List { advertiser, common } => {
            let scope = advertiser.map_or(Scope::Everything, |id| Scope::Advertiser(AdvertiserId(id.0)));
            let records = integrations::list(&common.pool()?, scope).await?;
            let rows: Vec<Value> = records.iter().map(shown).collect();
            let columns =
                ["integration_id", "advertiser_id", "is_active", "has_secret", "allowed_networks", "name"];
            common.output.rows(&rows, &columns)
        }
        IntegrationCommand::Presets(output) => {
            let rows: Vec<Value> = presets::inbound().iter().map(shown_preset).collect();
            output.rows(&rows, &["system", "verified", "checked", "note"])
        }
        IntegrationCommand::Show { integration_id, urls, common } => {
            let id = IntegrationId(integration_id.0);
            let record = integrations::one(&common.pool()?, Scope::Everything, id).await;
            let record = record.map_err(|error| flagged(error, SPELLED))?;
            common.output.row(&urls.added_to(&record))
        }
        IntegrationCommand::Create(args) => args.create().await,
        IntegrationCommand::Update(args) => args.update().await,
        IntegrationCommand::RequireSecret(one) => {
            let secret = set_secret(one, SecretRule::Required).await?.unwrap_or_default();
            let shown = json!({ "integration_id": one.integration_id.0, "secret": secret });
            one.common.output.made(&secret, &shown)?;
            eprintln!("The sender has to send it as the parameter secret; it is not shown again.");
            Ok(())
        }
        IntegrationCommand::LiftSecret(one) => {
            set_secret(one, SecretRule::NotNeeded).await?;
            let id = one.integration_id.0;
            one.common.output.done(&format!("{id} needs no secret."), &json!({ "integration_id": id }))
        }
    }
}

async fn set_secret(one: &OneIntegration, rule: SecretRule) -> anyhow::Result<Option<String>> {
    let id = IntegrationId(one.integration_id.0);
    let set = integrations::set_secret(&one.common.pool()?, ACTOR, Scope::Everything, id, rule).await;
    Ok(set.map_err(|error| flagged(error, SPELLED))?.1)
}

impl CreateIntegration {
    async fn create(&self) -> anyhow::Result<()> {
        let mut settings = match self.urls.preset {
            Some(preset) => preset.settings(&preset.system, None),
            None => Settings { is_active: true, ..Settings::default() },
        };
        let mut words = self.urls.preset.map(|preset| preset.words.clone()).unwrap_or_default();
        if let Some(file) = &self.file {
            let file = IntegrationFile::read(file)?;
            words.extend(file.words.clone());
            file.apply(&mut settings);
        }
        if let Some(name) = &self.name {
            settings.name.clone_from(name);
        }
        settings.offer_id = self.offer.map(|id| OfferId(id.0));
        settings.is_active = !self.inactive;
        let advertiser = AdvertiserId(self.advertiser.0);
        let pool = self.common.pool()?;
        let made = integrations::create(&pool, ACTOR, Scope::Everything, advertiser, &settings, &words).await;
        let made = made.map_err(|error| flagged(error, SPELLED))?;
        self.common.output.made(made.integration_id, &self.urls.added_to(&made))?;
        eprintln!("Where the other system reports; whoever knows it can report:");
        for (event, url) in self.urls.of(&made) {
            eprintln!("  {event}: {url}");
        }
        Ok(())
    }
}

impl UpdateIntegration {
    async fn update(&self) -> anyhow::Result<()> {
        let file = self.file.as_deref().map(IntegrationFile::read).transpose()?;
        if file.as_ref().is_some_and(|file| !file.words.is_empty()) {
            anyhow::bail!(
                "--file: words are set when an integration is made; change them by \
                 `ricochet word set WORD MEANING --integration ID`"
            );
        }
        let change = |settings: &mut Settings| {
            if self.default_answers {
                settings.answers = Default::default();
            }
            if let Some(file) = file {
                file.apply(settings);
            }
            if let Some(name) = &self.name {
                settings.name.clone_from(name);
            }
            if let Some(offer) = self.offer {
                let offer: Option<Id> = offer.into();
                settings.offer_id = offer.map(|id| OfferId(id.0));
            }
            settings.is_active = self.active.unwrap_or(settings.is_active);
        };
        let id = IntegrationId(self.integration_id.0);
        let pool = self.common.pool()?;
        let changed = integrations::update(&pool, ACTOR, Scope::Everything, id, change).await;
        self.common.output.row(&shown(&changed.map_err(|error| flagged(error, SPELLED))?))
    }
}

impl Urls {
    /// By event where a preset is given; otherwise the two addresses an integration has.
    fn of(&self, record: &IntegrationRecord) -> Vec<(String, String)> {
        let server = self.server.as_str().trim_end_matches('/');
        let [inbound, chatterfy] = record.paths();
        match self.preset {
            Some(preset) => preset.addresses(server, &record.integration_id.to_string()),
            None => vec![
                ("by the field map".to_owned(), format!("{server}{inbound}")),
                ("in Chatterfy's format".to_owned(), format!("{server}{chatterfy}")),
            ],
        }
    }

    fn added_to(&self, record: &IntegrationRecord) -> Value {
        let mut shown = shown(record);
        shown["urls"] = self.of(record).into_iter().collect();
        shown
    }
}

fn shown(record: &IntegrationRecord) -> Value {
    let settings = &record.settings;
    json!({
        "integration_id": record.integration_id,
        "advertiser_id": record.advertiser_id,
        "offer_id": settings.offer_id,
        "name": settings.name,
        "field_map": settings.field_map,
        "answers": {
            "success_code": settings.answers.success_code,
            "success_body": settings.answers.success_body,
            "success_content_type": settings.answers.success_content_type,
            "refusal_code": settings.answers.refusal_code,
            "refusal_body": settings.answers.refusal_body,
            "refusal_content_type": settings.answers.refusal_content_type,
        },
        "allowed_networks": settings.allowed_networks,
        "is_active": settings.is_active,
        "has_secret": record.has_secret,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    })
}

fn shown_preset(preset: &InboundPreset) -> Value {
    json!({
        "system": preset.system,
        "verified": preset.verified,
        "source": preset.source,
        "checked": preset.checked,
        "note": preset.note,
        "urls": preset.urls,
        "field_map": preset.field_map,
        "words": preset.words,
        "success_body": preset.success_body,
    })
}

fn preset(system: &str) -> Result<&'static InboundPreset, String> {
    presets::inbound_of(system).ok_or_else(|| {
        let known: Vec<&str> = presets::inbound().iter().map(|preset| preset.system.as_str()).collect();
        format!("there is no such preset; choose one of {}", known.join(", "))
    })
}
