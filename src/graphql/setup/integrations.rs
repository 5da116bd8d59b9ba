//! Integrations: how foreign systems report to an advertiser.

use std::collections::BTreeMap;

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::caller::{advertising, caller, change, pool};
use super::integration_settings::{
    IntegrationAnswers, IntegrationAnswersInput, MappedField, MappedFieldInput, mapped_fields,
    read_field_map, set,
};
use super::presets::{EventUrl, event_urls};
use crate::domain::ids::{AdvertiserId, IntegrationId, OfferId};
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::scope::{Grant, Principal};
use crate::graphql::types::{LogConnection, connection};
use crate::presets::{self, InboundPreset};
use crate::store::integrations::{self as store, IntegrationRecord, IntegrationSettings};
use crate::store::setup::integrations;

/// A foreign system's way to report.
#[derive(SimpleObject)]
pub struct Integration {
    integration_id: ID,
    advertiser_id: ID,
    /// Set: only clicks of this offer.
    offer_id: Option<ID>,
    name: String,
    field_map: Vec<MappedField>,
    answers: IntegrationAnswers,
    /// Networks in CIDR notation; empty: from anywhere.
    allowed_networks: Vec<String>,
    is_active: bool,
    /// Whether the sender has to send the parameter `secret`.
    has_secret: bool,
    /// Where the other system reports, below the server's address. Whoever knows it can report.
    inbound_path: String,
    /// The same for a sender of Chatterfy's format.
    chatterfy_path: String,
    created_at: Time,
    updated_at: Time,
}

impl From<IntegrationRecord> for Integration {
    fn from(record: IntegrationRecord) -> Self {
        let [inbound_path, chatterfy_path] = record.paths();
        let IntegrationSettings { name, offer_id, field_map, answers, allowed_networks, is_active } =
            record.settings;
        Self {
            integration_id: record.integration_id.0.into(),
            advertiser_id: record.advertiser_id.0.into(),
            offer_id: offer_id.map(|id| id.0.into()),
            name,
            field_map: mapped_fields(field_map),
            answers: answers.into(),
            allowed_networks,
            is_active,
            has_secret: record.has_secret,
            inbound_path,
            chatterfy_path,
            created_at: record.created_at.into(),
            updated_at: record.updated_at.into(),
        }
    }
}

/// A new integration, and what to enter in the other system.
#[derive(SimpleObject)]
pub struct CreatedIntegration {
    integration: Integration,
    /// By the preset's event; empty without a preset.
    urls: Vec<EventUrl>,
}

/// What is left out is the preset's, or as it is where nobody says anything.
#[derive(InputObject)]
struct CreateIntegrationInput {
    /// Whose it is; an advertiser may leave it out.
    advertiser_id: Option<ID>,
    /// The system of one of integrationPresets; left out: a blank one.
    preset: Option<String>,
    /// The system's name where a preset is given.
    name: Option<String>,
    /// Only clicks of this offer.
    offer_id: Option<ID>,
    field_map: Option<Vec<MappedFieldInput>>,
    answers: Option<IntegrationAnswersInput>,
    /// Addresses or networks in CIDR notation; none: from anywhere.
    allowed_networks: Option<Vec<String>>,
    /// True where it is not given.
    is_active: Option<bool>,
}

/// What is left out stays as it is; so do the address and the secret in any case.
#[derive(InputObject)]
struct UpdateIntegrationInput {
    integration_id: ID,
    name: Option<String>,
    /// Null: clicks of all offers of the advertiser.
    offer_id: MaybeUndefined<ID>,
    /// The whole map.
    field_map: Option<Vec<MappedFieldInput>>,
    answers: Option<IntegrationAnswersInput>,
    /// All of them; none: from anywhere.
    allowed_networks: Option<Vec<String>>,
    is_active: Option<bool>,
}

/// Whether the sender has to send a secret.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "store::SecretRule")]
pub enum IntegrationSecretRule {
    /// Makes a new one; the old one ends at once.
    Required,
    NotNeeded,
}

#[derive(InputObject)]
struct SetIntegrationSecretInput {
    integration_id: ID,
    rule: IntegrationSecretRule,
}

/// The integration, and its new secret. It cannot be shown again.
#[derive(SimpleObject)]
pub struct IntegrationSecret {
    /// What the sender puts into the parameter `secret`; null where none is needed.
    secret: Option<String>,
    integration: Integration,
}

fn preset_of(system: &str) -> Result<&'static InboundPreset, Failure> {
    presets::inbound_of(system).ok_or_else(|| {
        let known: Vec<&str> = presets::inbound().iter().map(|preset| preset.system.as_str()).collect();
        let message = format!("there is no such preset; choose one of {}", known.join(", "));
        Failure::bad_input("input.preset", message)
    })
}

/// The advertiser of an input: the caller's own, or the one an owner names.
fn advertiser_of(caller: Principal, named: Option<&ID>) -> Result<AdvertiserId, Failure> {
    let named = named.map(|id| uuid_at("input.advertiserId", id)).transpose()?;
    match (caller.grant, named) {
        (_, Some(id)) => Ok(AdvertiserId(id)),
        (Grant::Advertiser(own), None) => Ok(own),
        (Grant::Owner | Grant::Partner(_) | Grant::Bi(_), None) => {
            Err(Failure::bad_input("input.advertiserId", "say whose integration it is to be"))
        }
    }
}

fn offer_of(id: &ID) -> Result<OfferId, Failure> {
    Ok(OfferId(uuid_at("input.offerId", id)?))
}

#[derive(Default)]
pub struct IntegrationQueries;

#[Object]
impl IntegrationQueries {
    /// Integrations, newest first: an advertiser sees its own, a partner none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn integrations(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Integration>, Failure> {
        let request = page_request(ctx, List::Integrations, first, after)?;
        let scope = caller(ctx)?.scope();
        let page = read_store(integrations::page(pool(ctx), scope, &request)).await?;
        Ok(connection(List::Integrations, &request, page))
    }
}

#[derive(Default)]
pub struct IntegrationMutations;

#[Object]
impl IntegrationMutations {
    /// Makes an integration, blank or of a preset with its words. Owners and the advertiser itself.
    async fn create_integration(
        &self,
        ctx: &Context<'_>,
        input: CreateIntegrationInput,
    ) -> Result<CreatedIntegration, Failure> {
        let caller = advertising(ctx)?;
        let advertiser = advertiser_of(caller, input.advertiser_id.as_ref())?;
        let preset = input.preset.as_deref().map(preset_of).transpose()?;
        let mut settings = match preset {
            Some(preset) => preset.settings(&preset.system, None),
            None => IntegrationSettings { is_active: true, ..IntegrationSettings::default() },
        };
        settings.offer_id = input.offer_id.as_ref().map(offer_of).transpose()?;
        set(&mut settings.name, input.name);
        set(&mut settings.field_map, input.field_map.map(read_field_map).transpose()?);
        set(&mut settings.allowed_networks, input.allowed_networks);
        set(&mut settings.is_active, input.is_active);
        if let Some(answers) = input.answers {
            answers.apply(&mut settings.answers);
        }
        let none = BTreeMap::new();
        let words = preset.map_or(&none, |preset| &preset.words);
        let (actor, scope) = (caller.into(), caller.scope());
        let creating = integrations::create(pool(ctx), actor, scope, advertiser, &settings, words);
        let integration = Integration::from(change(ctx, creating).await?);
        let urls = preset.map_or_else(Vec::new, |preset| event_urls(preset, &integration.integration_id));
        Ok(CreatedIntegration { integration, urls })
    }

    /// Changes an integration. Owners and the advertiser itself.
    async fn update_integration(
        &self,
        ctx: &Context<'_>,
        input: UpdateIntegrationInput,
    ) -> Result<Integration, Failure> {
        let caller = advertising(ctx)?;
        let id = IntegrationId(uuid_at("input.integrationId", &input.integration_id)?);
        let offer: Option<Option<ID>> = input.offer_id.into();
        let offer = offer.map(|id| id.as_ref().map(offer_of).transpose()).transpose()?;
        let field_map = input.field_map.map(read_field_map).transpose()?;
        let apply = |settings: &mut IntegrationSettings| {
            set(&mut settings.name, input.name);
            set(&mut settings.offer_id, offer);
            set(&mut settings.field_map, field_map);
            set(&mut settings.allowed_networks, input.allowed_networks);
            set(&mut settings.is_active, input.is_active);
            if let Some(answers) = input.answers {
                answers.apply(&mut settings.answers);
            }
        };
        let updating = integrations::update(pool(ctx), caller.into(), caller.scope(), id, apply);
        Ok(change(ctx, updating).await?.into())
    }

    /// Makes the sender send a secret, or lifts that. Owners and the advertiser itself.
    async fn set_integration_secret(
        &self,
        ctx: &Context<'_>,
        input: SetIntegrationSecretInput,
    ) -> Result<IntegrationSecret, Failure> {
        let caller = advertising(ctx)?;
        let id = IntegrationId(uuid_at("input.integrationId", &input.integration_id)?);
        let (actor, scope) = (caller.into(), caller.scope());
        let setting = integrations::set_secret(pool(ctx), actor, scope, id, input.rule.into());
        let (record, secret) = change(ctx, setting).await?;
        Ok(IntegrationSecret { secret, integration: record.into() })
    }
}
