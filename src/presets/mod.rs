//! Ready integrations, and in [`outbound`] ready postbacks:
//! one data file a system, each saying where it comes from and whether the
//! vendor's own documentation bears it out. What is not from the vendor is unverified until a
//! live test confirms it.

pub mod outbound;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

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
    /// What to write behind `/in/{integration_id}` in the other system, by event, with the
    /// other system's macros in its own brackets.
    pub urls: BTreeMap<String, String>,
    #[serde(default)]
    pub field_map: RawFieldMap,
    #[serde(default)]
    pub words: BTreeMap<String, Meaning>,
    /// The body the system wants to hear; JSON otherwise.
    pub success_body: Option<String>,
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

macro_rules! presets {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("inbound/", $file, ".toml")))),+]
    };
}

const FILES: &[(&str, &str)] = presets![
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
];

static INBOUND: LazyLock<Vec<InboundPreset>> = LazyLock::new(|| {
    let read = |(file, text): &(&str, &str)| {
        toml::from_str(text).unwrap_or_else(|error| panic!("presets/inbound/{file}.toml: {error}"))
    };
    FILES.iter().map(read).collect()
});

/// Every system there is a preset for.
pub fn inbound() -> &'static [InboundPreset] {
    &INBOUND
}

/// The preset of a system, by its name.
pub fn inbound_of(system: &str) -> Option<&'static InboundPreset> {
    INBOUND.iter().find(|preset| preset.system.eq_ignore_ascii_case(system.trim()))
}

impl InboundPreset {
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

    #[test]
    fn every_file_is_listed_and_can_be_used() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/presets/inbound");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".toml", ""))
            .collect();
        files.sort();
        let mut listed: Vec<&str> = FILES.iter().map(|(file, _)| *file).collect();
        listed.sort_unstable();
        assert_eq!(listed, files);
        for preset in inbound() {
            FieldMap::parse(&preset.field_map).unwrap_or_else(|error| panic!("{}: {error}", preset.system));
            assert!(preset.urls.values().all(|url| url.starts_with('?')), "{}", preset.system);
            assert_eq!(inbound_of(&preset.system).unwrap().source, preset.source);
        }
    }
}
