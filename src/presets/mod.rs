//! Ready integrations, and in [`outbound`] ready postbacks:
//! one data file a system, each saying where it comes from and whether the
//! vendor's own documentation bears it out. What is not from the vendor is unverified until a
//! live test confirms it.

mod files;
pub mod outbound;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use self::files::{Files, Preset, files};
use self::outbound::{OutboundPreset, ValueError, checked_parameter, link_with};
use crate::domain::ids::OfferId;
use crate::domain::integration::Answers;
use crate::domain::status::Meaning;
use crate::store::integrations::{IntegrationSettings, RawFieldMap};

/// A system that reports to us.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboundPreset {
    /// Its name, by which a preset is chosen.
    pub system: String,
    pub verified: Verified,
    pub source: String,
    /// Year and month when the source was read.
    pub checked: String,
    #[serde(default)]
    pub note: String,
    /// The door it comes in by.
    #[serde(default)]
    pub door: Door,
    /// What to write behind the integration's path in the other system, by event, with the
    /// other system's macros in its own brackets.
    pub urls: BTreeMap<String, String>,
    #[serde(default)]
    pub field_map: RawFieldMap,
    #[serde(default)]
    pub words: BTreeMap<String, Meaning>,
    /// The body the system wants to hear; JSON otherwise.
    pub success_body: Option<String>,
}

/// The path a system's requests go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `/in/{integration_id}`: by the field map.
    #[default]
    Mapped,
    /// `/api/postbacks/{integration_id}/tracker-postback`: in Chatterfy's format.
    Chatterfy,
}

/// Whose word a preset rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    Vendor,
    /// Public templates or code: unverified.
    Code,
    /// Third parties: unverified.
    ThirdParty,
}

const FILES: Files = files!(
    "inbound":
    "hoqu",
    "everflow",
    "tune",
    "affise",
    "scaleo",
    "trackier",
    "cake",
    "impact",
    "1win",
    "mostbet",
    "pin-up",
    "melbet",
    "22bet",
    "4rabet",
    "affilka",
    "welcomepartners",
    "chatterfy",
    "carpe-diem",
);

static INBOUND: LazyLock<Vec<InboundPreset>> = LazyLock::new(|| files::read(FILES));

impl Preset for InboundPreset {
    const FOLDER: &'static str = "inbound";

    fn system(&self) -> &str {
        &self.system
    }
}

/// Every system there is a preset for.
pub fn inbound() -> &'static [InboundPreset] {
    &INBOUND
}

/// The preset of a system, by its name.
pub fn inbound_of(system: &str) -> Option<&'static InboundPreset> {
    files::of(&INBOUND, system)
}

/// What there is for one system: what we tell it, what it tells us, or both.
#[derive(Debug, Clone, Copy)]
pub struct Halves {
    pub outbound: Option<&'static OutboundPreset>,
    pub inbound: Option<&'static InboundPreset>,
}

/// One of the two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Inbound,
    Outbound,
}

impl Halves {
    /// What there is for a system, by its name.
    pub fn of(system: &str) -> Option<Self> {
        let halves = Self { outbound: outbound::outbound_of(system), inbound: inbound_of(system) };
        (halves.outbound.is_some() || halves.inbound.is_some()).then_some(halves)
    }

    /// Every system there is something for, for messages.
    pub fn systems() -> Vec<&'static str> {
        let told = outbound::outbound().iter().map(|preset| preset.system.as_str());
        let tells = inbound().iter().map(|preset| preset.system.as_str());
        told.chain(tells.filter(|system| outbound::outbound_of(system).is_none())).collect()
    }

    /// Only the half asked for; `None` where the system has no such half.
    pub fn only(self, half: Half) -> Option<Self> {
        match half {
            Half::Outbound => self.outbound.map(|preset| Self { outbound: Some(preset), inbound: None }),
            Half::Inbound => self.inbound.map(|preset| Self { outbound: None, inbound: Some(preset) }),
        }
    }

    pub fn system(self) -> &'static str {
        let told = self.outbound.map(|preset| preset.system.as_str());
        told.or(self.inbound.map(|preset| preset.system.as_str())).unwrap_or_default()
    }

    /// Whose word the weaker half rests on.
    pub fn verified(self) -> Verified {
        let marks = [self.outbound.map(|half| half.verified), self.inbound.map(|half| half.verified)];
        marks.into_iter().flatten().find(|mark| *mark != Verified::Vendor).unwrap_or(Verified::Vendor)
    }

    /// What to know of its halves; may be empty.
    pub fn note(self) -> String {
        let notes =
            [self.outbound.map(|half| half.note.as_str()), self.inbound.map(|half| half.note.as_str())];
        let notes = notes.into_iter().flatten().filter(|note| !note.is_empty());
        notes.collect::<Vec<_>>().join(" ")
    }

    /// The registration link: our click link with the tracker's macro, where we tell a tracker,
    /// and what is given beside it.
    pub fn registration_link(
        self,
        click_url: &str,
        values: &BTreeMap<String, String>,
        parameter: Option<&str>,
        click_macro: Option<&str>,
        extras: &[(String, String)],
    ) -> Result<String, ValueError> {
        if let Some(preset) = self.outbound {
            return preset.registration_link(click_url, values, parameter, click_macro, extras);
        }
        let click = click_macro.map(|text| (parameter.unwrap_or("clickid").to_owned(), text.to_owned()));
        let parameters: Vec<(String, String)> = click.into_iter().chain(extras.iter().cloned()).collect();
        parameters.iter().try_for_each(|(name, _)| checked_parameter(name).map(drop))?;
        Ok(link_with(click_url, &parameters))
    }
}

impl InboundPreset {
    /// What to enter in the other system, by event. `id` is the integration's, or a stand-in.
    pub fn addresses(&self, server: &str, id: &str) -> Vec<(String, String)> {
        let path = match self.door {
            Door::Mapped => format!("/in/{id}"),
            Door::Chatterfy => format!("/api/postbacks/{id}/tracker-postback"),
        };
        let address = |(event, query): (&String, &String)| (event.clone(), format!("{server}{path}{query}"));
        self.urls.iter().map(address).collect()
    }

    /// The parameter of the program's link that brings our click id to it: what its reports give
    /// back as `click_id`.
    pub fn click_parameter(&self) -> &str {
        let template = self.field_map.get("click_id").and_then(|templates| templates.first());
        let name = template.and_then(|text| text.strip_prefix('{')?.split(['}', '|']).next());
        name.unwrap_or("click_id")
    }

    /// The program's own link with our click id in it: what an offer of it leads to.
    pub fn program_link(&self, program_url: &str) -> Result<String, ValueError> {
        let parameter = self.click_parameter();
        let is_link = url::Url::parse(program_url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none());
        if !is_link {
            let message =
                "write the program's link as it gives it out, such as https://program.example/?p=1".into();
            return Err(ValueError { name: "programUrl".into(), message });
        }
        Ok(link_with(program_url, &[(parameter.to_owned(), "{click_id}".to_owned())]))
    }

    /// An integration made of the preset. Its words are set beside it, at its own place.
    pub fn settings(&self, name: &str, offer_id: Option<OfferId>) -> IntegrationSettings {
        IntegrationSettings {
            name: name.to_owned(),
            offer_id,
            field_map: self.field_map.clone(),
            answers: Answers { success_body: self.success_body.clone(), ..Answers::default() },
            allowed_networks: Vec::new(),
            is_active: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::integration::FieldMap;

    /// What people paste into other systems: a change here leaves what they have pasted behind.
    #[test]
    fn every_preset_gives_the_urls_to_paste() {
        let mut urls = String::new();
        for preset in inbound() {
            urls += &format!("{}\n", preset.system);
            for (event, url) in preset.addresses("https://hub.example", "{integration_id}") {
                urls += &format!("  {event}: {url}\n");
            }
            urls += &format!("  program: {}\n", preset.program_link("https://p.example/?a=1").unwrap());
        }
        insta::assert_snapshot!(urls);
    }

    #[test]
    fn every_file_is_listed_and_can_be_used() {
        files::assert_all_are_listed::<InboundPreset>(FILES);
        for preset in inbound() {
            FieldMap::parse(&preset.field_map).unwrap_or_else(|error| panic!("{}: {error}", preset.system));
            assert!(preset.urls.values().all(|url| url.starts_with('?')), "{}", preset.system);
            assert_eq!(inbound_of(&preset.system).unwrap().source, preset.source);
        }
    }
}
