//! `presets` and `setUpPreset`: ready postbacks for the trackers of this world, and the link that
//! goes with them.

use std::collections::BTreeMap;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, outbound_policy, owner, pool};
use super::postbacks::{owner_of, scope_of};
use super::presets::PresetVerification;
use crate::domain::ids::LinkId;
use crate::graphql::enums::Event;
use crate::graphql::failure::Failure;
use crate::graphql::filter::uuid_at;
use crate::presets::outbound::{self, OutboundPreset, PlannedPostback, ValueError};
use crate::presets::{self, InboundPreset, Verified};
use crate::store::setup::presets::{Run, set_up};

/// Who tells whom.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetDirection {
    /// The system reports to us: createIntegration takes its name.
    Inbound,
    /// We tell the system: setUpPreset takes its name.
    Outbound,
}

/// Something a preset asks for.
#[derive(SimpleObject)]
struct PresetValue {
    name: String,
    /// `origin` (a domain), `path`, `key`, `parameter`, `word` or `uuid`.
    kind: &'static str,
    what: String,
    example: String,
    /// Taken where nothing is said.
    default: Option<String>,
}

#[derive(SimpleObject)]
struct PresetPostback {
    name: String,
    events: Vec<Event>,
    /// With our macros; in a list of presets, `<name>` stands for a value, `<click>` for the macro
    /// that holds the tracker's click id.
    url_template: String,
    condition: Option<String>,
    /// Null where nothing was made.
    postback_id: Option<ID>,
}

/// A system there is something ready for.
#[derive(SimpleObject)]
struct Preset {
    direction: PresetDirection,
    system: String,
    verification: PresetVerification,
    /// Whether the vendor's own documentation bears it out; what it does not is to be tried first.
    is_verified: bool,
    source: String,
    /// Year and month when the source was read.
    checked: String,
    note: String,
    values: Vec<PresetValue>,
    /// What is sent, where we tell the system.
    postbacks: Vec<PresetPostback>,
    /// What it is to be told to send, by event, behind `/in/{integration_id}`; where it tells us.
    inbound_events: Vec<String>,
    /// The system's own macro of its click id, for the registration link.
    click_macro: Option<String>,
    /// The parameter of our link that carries it where no other is chosen.
    click_parameter: Option<String>,
}

impl From<&OutboundPreset> for Preset {
    fn from(preset: &OutboundPreset) -> Self {
        let value = |value: &outbound::PresetValue| PresetValue {
            name: value.name.clone(),
            kind: value.kind.code(),
            what: value.what.clone(),
            example: value.example.clone(),
            default: value.default.clone(),
        };
        let postback = |postback: &outbound::PostbackDefinition| PresetPostback {
            name: postback.name.clone(),
            events: postback.events.iter().copied().map(Event::from).collect(),
            url_template: postback.url.clone(),
            condition: postback.condition.clone(),
            postback_id: None,
        };
        Self {
            direction: PresetDirection::Outbound,
            system: preset.system.clone(),
            verification: preset.verified.into(),
            is_verified: preset.verified == Verified::Vendor,
            source: preset.source.clone(),
            checked: preset.checked.clone(),
            note: preset.note.clone(),
            values: preset.values.iter().map(value).collect(),
            postbacks: preset.postbacks.iter().map(postback).collect(),
            inbound_events: Vec::new(),
            click_macro: Some(preset.link.click_macro.clone()),
            click_parameter: Some(preset.link.parameter.clone()),
        }
    }
}

impl From<&InboundPreset> for Preset {
    fn from(preset: &InboundPreset) -> Self {
        Self {
            direction: PresetDirection::Inbound,
            system: preset.system.clone(),
            verification: preset.verified.into(),
            is_verified: preset.verified == Verified::Vendor,
            source: preset.source.clone(),
            checked: preset.checked.clone(),
            note: preset.note.clone(),
            values: Vec::new(),
            postbacks: Vec::new(),
            inbound_events: preset.urls.keys().cloned().collect(),
            click_macro: None,
            click_parameter: None,
        }
    }
}

#[derive(InputObject)]
struct NamedValueInput {
    name: String,
    value: String,
}

#[derive(InputObject)]
struct SetUpPresetInput {
    /// The name of one of `presets(direction: OUTBOUND)`.
    system: String,
    /// What the preset asks for.
    #[graphql(default)]
    values: Vec<NamedValueInput>,
    /// The postbacks are a partner's; with neither this nor advertiserId, the platform's own.
    partner_id: Option<ID>,
    advertiser_id: Option<ID>,
    /// Only for this offer.
    offer_id: Option<ID>,
    /// Only for this link.
    link_id: Option<ID>,
    /// The link that the registration link is made of; linkId where it is not given.
    registration_link_id: Option<ID>,
    /// This server's address as visitors see it, such as `https://go.example`.
    #[graphql(default)]
    base_url: String,
    /// The parameter of our link that carries the tracker's click id, such as clickid or sub4.
    click_parameter: Option<String>,
    /// The tracker's macro of its click id, where it is not the preset's.
    click_macro: Option<String>,
    /// Further parameters of the link; macros of the other system in them stay as they are.
    #[graphql(default)]
    extras: Vec<NamedValueInput>,
    /// Only show what it would come to; everything is tried, and nothing is made.
    #[graphql(default)]
    dry_run: bool,
}

/// What a preset has come to.
#[derive(SimpleObject)]
struct PresetSetup {
    system: String,
    is_verified: bool,
    note: String,
    dry_run: bool,
    postbacks: Vec<PresetPostback>,
    /// What to give the tracker as the offer's URL; null where no link is named.
    registration_link: Option<String>,
}

fn preset_of(system: &str) -> Result<&'static OutboundPreset, Failure> {
    outbound::outbound_of(system).ok_or_else(|| {
        let known: Vec<&str> = outbound::outbound().iter().map(|preset| preset.system.as_str()).collect();
        let message = format!("there is no such preset; choose one of {}", known.join(", "));
        Failure::bad_input("input.system", message)
    })
}

fn pairs(values: Vec<NamedValueInput>) -> Vec<(String, String)> {
    values.into_iter().map(|pair| (pair.name, pair.value)).collect()
}

#[derive(Default)]
pub struct OutboundPresetQueries;

#[Object]
impl OutboundPresetQueries {
    /// Systems there is something ready for, of one direction or both.
    async fn presets(
        &self,
        ctx: &Context<'_>,
        direction: Option<PresetDirection>,
    ) -> Result<Vec<Preset>, Failure> {
        caller(ctx)?;
        let told = outbound::outbound().iter().map(Preset::from);
        let tells = presets::inbound().iter().map(Preset::from);
        let is_asked_for = |preset: &Preset| direction.is_none_or(|direction| direction == preset.direction);
        Ok(told.chain(tells).filter(is_asked_for).collect())
    }
}

#[derive(Default)]
pub struct OutboundPresetMutation;

#[Object]
impl OutboundPresetMutation {
    /// Makes the postbacks of a preset, all or none, and the registration link that goes with
    /// them. Owners only.
    async fn set_up_preset(
        &self,
        ctx: &Context<'_>,
        input: SetUpPresetInput,
    ) -> Result<PresetSetup, Failure> {
        let actor = owner(ctx)?.into();
        let preset = preset_of(&input.system)?;
        let belongs_to = owner_of(input.partner_id.as_ref(), input.advertiser_id.as_ref())?;
        let scope = scope_of(input.offer_id.as_ref(), input.link_id.as_ref())?;
        let values: BTreeMap<String, String> = pairs(input.values).into_iter().collect();
        let parameter = input.click_parameter.as_deref();
        let planned = preset.postbacks(&values, parameter).map_err(at_input)?;
        let link = input.registration_link_id.as_ref().or(input.link_id.as_ref());
        let link = link.map(|id| uuid_at("input.registrationLinkId", id).map(LinkId)).transpose()?;
        let extras = pairs(input.extras);
        let click_macro = input.click_macro.as_deref();
        let base = input.base_url.trim().trim_end_matches('/');
        let registration_link = link
            .map(|link| {
                let click_url = format!("{base}/click/{link}");
                preset.registration_link(&click_url, &values, parameter, click_macro, &extras)
            })
            .transpose()
            .map_err(at_input)?;
        let policy = outbound_policy(ctx);
        let run = if input.dry_run { Run::Dry } else { Run::Real };
        let ids = change(ctx, set_up(pool(ctx), actor, belongs_to, scope, &planned, &policy, run)).await?;
        let made = |(planned, id): (PlannedPostback, uuid::Uuid)| PresetPostback {
            name: planned.name,
            events: planned.events.into_iter().map(Event::from).collect(),
            url_template: planned.url_template,
            condition: planned.condition,
            postback_id: (run == Run::Real).then(|| id.into()),
        };
        Ok(PresetSetup {
            system: preset.system.clone(),
            is_verified: preset.verified == Verified::Vendor,
            note: preset.note.clone(),
            dry_run: input.dry_run,
            postbacks: planned.into_iter().zip(ids).map(made).collect(),
            registration_link,
        })
    }
}

fn at_input(error: ValueError) -> Failure {
    Failure::bad_input(format!("input.{}", error.name), error.message)
}
