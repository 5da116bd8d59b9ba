//! `presets` and `setUpPreset`: ready postbacks and integrations for the systems of this world, and
//! the links that go with them.

use std::collections::BTreeMap;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, forbidden, outbound_policy, pool};
use super::postback_request::{BodyKind, Header, Method, SuccessRule};
use super::postbacks::{owner_of, scope_of};
use super::presets::PresetVerification;
use crate::domain::ids::{AdvertiserId, LinkId};
use crate::domain::postback::Owner;
use crate::domain::request_settings::BodyKind as RequestBody;
use crate::graphql::enums::Event;
use crate::graphql::failure::Failure;
use crate::graphql::filter::uuid_at;
use crate::graphql::scope::Grant;
use crate::presets::outbound::{self, OutboundPreset, PlannedPostback, ValueError};
use crate::presets::{self, Half, Halves, InboundPreset, Verified};
use crate::store::setup::postback_twins::Twins;
use crate::store::setup::presets::{PlannedIntegration, Run, Setup, set_up};

/// Who tells whom.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Half")]
pub enum PresetDirection {
    /// The system reports to us.
    Inbound,
    /// We tell the system.
    Outbound,
}

/// Something a preset asks for.
#[derive(SimpleObject)]
struct PresetValue {
    name: String,
    /// `origin` (a domain), `path`, `key`, `parameter`, `word`, `uuid`, or `added`: a parameter that
    /// is added to the postbacks where it is given, as any text with our macros in it.
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
    method: Method,
    headers: Vec<Header>,
    body_kind: BodyKind,
    body_template: String,
    condition: Option<String>,
    /// Where one of these is empty, nothing is sent: the delivery is skipped. In a list of presets,
    /// `<click_name>` stands for the one that holds the tracker's click id.
    required_macros: Vec<String>,
    success_rules: Vec<SuccessRule>,
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
    /// What it is to be told to send, by event, behind the path of its integration; where it tells us.
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
            method: postback.method.into(),
            headers: postback.headers.iter().cloned().map(Header::from).collect(),
            body_kind: postback.body.as_ref().map_or(RequestBody::None, |body| body.kind).into(),
            body_template: postback.body.as_ref().map(|body| body.template.clone()).unwrap_or_default(),
            condition: postback.condition.clone(),
            required_macros: postback.required_macros(),
            success_rules: postback.success.iter().cloned().map(SuccessRule::from).collect(),
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
    /// The name of one of `presets`.
    system: String,
    /// Only this half of a system that has two; both where it is not given.
    direction: Option<PresetDirection>,
    /// The advertiser the system reports for. Where it is not given: the advertiser of
    /// advertiserId, of the offer or of the link.
    integration_advertiser_id: Option<ID>,
    /// The link of the program that reports to us, as it gives it out.
    program_url: Option<String>,
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
    /// Make the postbacks also where others of the same owner send the same already: everything is told
    /// twice then.
    #[graphql(default)]
    allow_duplicate: bool,
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
    /// The integration the system reports by; null where it does not report, or nothing was made.
    integration_id: Option<ID>,
    /// What to paste into the system that reports to us, by event. Of a dry run,
    /// `{integration_id}` stands for the id.
    inbound_urls: Vec<InboundUrl>,
    /// What to give the tracker as the offer's URL, or partners where there is no tracker; null
    /// where no link is named.
    registration_link: Option<String>,
    /// The program's link with our click id: what the offer's landing URL has to be. Null where no
    /// programUrl is given.
    program_link: Option<String>,
}

/// What to paste into the other system for one of its events.
#[derive(SimpleObject)]
struct InboundUrl {
    event: String,
    /// With the other system's macros, in its own brackets.
    url: String,
}

/// The halves of a system that are asked for.
fn halves_of(system: &str, direction: Option<PresetDirection>) -> Result<Halves, Failure> {
    let halves = Halves::of(system).ok_or_else(|| {
        let message = format!("there is no such preset; choose one of {}", Halves::systems().join(", "));
        Failure::bad_input("input.system", message)
    })?;
    let Some(direction) = direction else { return Ok(halves) };
    halves.only(direction.into()).ok_or_else(|| {
        let message = format!("{} has no such half; leave the direction out", halves.system());
        Failure::bad_input("input.direction", message)
    })
}

/// The half that is told, which is the only one a partner sets up.
fn told_half(input: &SetUpPresetInput) -> Result<Halves, Failure> {
    if input.direction == Some(PresetDirection::Inbound) {
        let message = "integrations are your network's to make; leave the direction out";
        return Err(Failure::bad_input("input.direction", message));
    }
    let halves = halves_of(&input.system, None)?;
    halves.only(Half::Outbound).ok_or_else(|| {
        let message =
            format!("{} is told nothing; its integration is your network's to make", halves.system());
        Failure::bad_input("input.system", message)
    })
}

/// Refuses what an input says of a half that is not set up.
fn check_halves(halves: Halves, input: &SetUpPresetInput) -> Result<(), Failure> {
    let system = halves.system();
    let of_postbacks = [("values", !input.values.is_empty()), ("partnerId", input.partner_id.is_some())];
    let of_integration = [
        ("integrationAdvertiserId", input.integration_advertiser_id.is_some()),
        ("programUrl", input.program_url.is_some()),
    ];
    if halves.outbound.is_none()
        && let Some((field, _)) = of_postbacks.iter().find(|(_, is_given)| *is_given)
    {
        let message = format!("{system} is not told anything by this; leave it out");
        return Err(Failure::bad_input(format!("input.{field}"), message));
    }
    if halves.inbound.is_none()
        && let Some((field, _)) = of_integration.iter().find(|(_, is_given)| *is_given)
    {
        let message = format!("{system} does not report to us by this; leave it out");
        return Err(Failure::bad_input(format!("input.{field}"), message));
    }
    Ok(())
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
    /// Sets a preset up, wholly or not at all: its postbacks, the integration of a system that
    /// reports to us with the URLs to paste into it, and the registration link. Owners for anybody; a
    /// partner for itself, where its id is not needed, and only what the system is told: integrations are
    /// its network's to make.
    async fn set_up_preset(
        &self,
        ctx: &Context<'_>,
        input: SetUpPresetInput,
    ) -> Result<PresetSetup, Failure> {
        let caller = caller(ctx)?;
        let named = owner_of(input.partner_id.as_ref(), input.advertiser_id.as_ref())?;
        let (belongs_to, halves) = match (caller.grant, named) {
            (Grant::Owner, named) => (named, halves_of(&input.system, input.direction)?),
            (Grant::Partner(id), Owner::Platform) => (Owner::Partner(id), told_half(&input)?),
            (Grant::Partner(_), named) => (named, told_half(&input)?),
            (Grant::Advertiser(_) | Grant::Bi(_), _) => {
                return Err(forbidden(caller.grant, "an owner or partner"));
            }
        };
        check_halves(halves, &input)?;
        let scope = scope_of(input.offer_id.as_ref(), input.link_id.as_ref())?;
        let reports_for = input.integration_advertiser_id.as_ref();
        let reports_for = reports_for.map(|id| uuid_at("input.integrationAdvertiserId", id)).transpose()?;
        let values: BTreeMap<String, String> = pairs(input.values).into_iter().collect();
        let parameter = input.click_parameter.as_deref();
        let planned = halves.outbound.map(|preset| preset.postbacks(&values, parameter));
        let planned = planned.transpose().map_err(at_input)?.unwrap_or_default();
        let link = input.registration_link_id.as_ref().or(input.link_id.as_ref());
        let link = link.map(|id| uuid_at("input.registrationLinkId", id).map(LinkId)).transpose()?;
        let extras = pairs(input.extras);
        let click_macro = input.click_macro.as_deref();
        let base = input.base_url.trim().trim_end_matches('/');
        let registration_link = link
            .map(|link| {
                let click_url = format!("{base}/click/{link}");
                halves.registration_link(&click_url, &values, parameter, click_macro, &extras)
            })
            .transpose()
            .map_err(at_input)?;
        let program = halves.inbound.zip(input.program_url.as_deref());
        let program_link = program.map(|(preset, url)| preset.program_link(url.trim()));
        let program_link = program_link.transpose().map_err(at_input)?;
        let integration = halves
            .inbound
            .map(|preset| PlannedIntegration { preset, advertiser: reports_for.map(AdvertiserId) });
        let twins = if input.allow_duplicate { Twins::Allowed } else { Twins::Refused };
        let system = halves.system();
        let setup = Setup { owner: belongs_to, scope, system, postbacks: &planned, twins, link, integration };
        let policy = outbound_policy(ctx);
        let run = if input.dry_run { Run::Dry } else { Run::Real };
        let made =
            change(ctx, set_up(pool(ctx), caller.into(), caller.scope(), &setup, &policy, run)).await?;
        let integration_id = made.integration.filter(|_| run == Run::Real);
        let shown_id = integration_id.map_or_else(|| "{integration_id}".to_owned(), |id| id.to_string());
        let addresses = halves.inbound.map_or_else(Vec::new, |preset| preset.addresses(base, &shown_id));
        let postback = |(planned, id): (PlannedPostback, uuid::Uuid)| PresetPostback {
            name: planned.name,
            events: planned.events.into_iter().map(Event::from).collect(),
            url_template: planned.request.url_template,
            method: planned.request.method.into(),
            headers: planned.request.headers.into_iter().map(Header::from).collect(),
            body_kind: planned.request.body_kind.into(),
            body_template: planned.request.body_template,
            condition: planned.condition,
            required_macros: planned.request.required_macros,
            success_rules: planned.request.success_rules.into_iter().map(SuccessRule::from).collect(),
            postback_id: (run == Run::Real).then(|| id.into()),
        };
        Ok(PresetSetup {
            system: halves.system().to_owned(),
            is_verified: halves.verified() == Verified::Vendor,
            note: halves.note(),
            dry_run: input.dry_run,
            postbacks: planned.into_iter().zip(made.postbacks).map(postback).collect(),
            integration_id: integration_id.map(|id| id.0.into()),
            inbound_urls: addresses.into_iter().map(|(event, url)| InboundUrl { event, url }).collect(),
            registration_link,
            program_link,
        })
    }
}

fn at_input(error: ValueError) -> Failure {
    Failure::bad_input(format!("input.{}", error.name), error.message)
}
