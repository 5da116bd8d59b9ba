//! `integrationPresets`: the systems there is a ready integration for.

use async_graphql::{Context, Enum, Object, SimpleObject};

use super::caller::caller;
use super::integration_settings::{MappedField, mapped_fields};
use crate::graphql::enums::Meaning;
use crate::graphql::failure::Failure;
use crate::presets::{self, InboundPreset};

/// Whose word a preset rests on.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "presets::Verified")]
pub enum PresetVerification {
    /// The vendor's own documentation.
    Vendor,
    /// Public templates or code: unverified until a live test confirms it.
    Code,
    /// Third parties: unverified until a live test confirms it.
    ThirdParty,
}

/// What to enter in the other system for one of its events, below the server's address.
#[derive(SimpleObject)]
pub struct EventUrl {
    event: String,
    /// With the other system's macros, in its own brackets.
    path: String,
}

/// The addresses of a preset, for an integration of this id.
pub fn event_urls(preset: &InboundPreset, id: &str) -> Vec<EventUrl> {
    preset.addresses("", id).into_iter().map(|(event, path)| EventUrl { event, path }).collect()
}

/// A word, and what it means.
#[derive(SimpleObject)]
pub struct PresetWord {
    word: String,
    meaning: Meaning,
}

/// A system that reports to us.
#[derive(SimpleObject)]
pub struct IntegrationPreset {
    /// Its name, by which createIntegration chooses it.
    system: String,
    verification: PresetVerification,
    source: String,
    /// Year and month when the source was read.
    checked: String,
    /// What to know before it is used; may be empty.
    note: String,
    /// What to enter in the other system, by event; `{integration_id}` stands for the new one's id.
    urls: Vec<EventUrl>,
    field_map: Vec<MappedField>,
    words: Vec<PresetWord>,
    /// The answer the system wants to hear; null: JSON.
    success_body: Option<String>,
}

impl From<&InboundPreset> for IntegrationPreset {
    fn from(preset: &InboundPreset) -> Self {
        let word = |(word, meaning): (&String, &crate::domain::status::Meaning)| PresetWord {
            word: word.clone(),
            meaning: (*meaning).into(),
        };
        Self {
            system: preset.system.clone(),
            verification: preset.verified.into(),
            source: preset.source.clone(),
            checked: preset.checked.clone(),
            note: preset.note.clone(),
            urls: event_urls(preset, "{integration_id}"),
            field_map: mapped_fields(preset.field_map.clone()),
            words: preset.words.iter().map(word).collect(),
            success_body: preset.success_body.clone(),
        }
    }
}

#[derive(Default)]
pub struct PresetQuery;

#[Object]
impl PresetQuery {
    /// Systems there is a ready integration for.
    async fn integration_presets(&self, ctx: &Context<'_>) -> Result<Vec<IntegrationPreset>, Failure> {
        caller(ctx)?;
        Ok(presets::inbound().iter().map(IntegrationPreset::from).collect())
    }
}
