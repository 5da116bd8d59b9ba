//! The file that describes an integration of one's own.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::Context as _;
use serde::Deserialize;

use crate::domain::status::Meaning;
use crate::store::integrations::RawFieldMap;
use crate::store::setup::integrations::Settings;

/// What is left out stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntegrationFile {
    name: Option<String>,
    /// The whole map.
    field_map: Option<RawFieldMap>,
    /// What the sender's words mean, at this integration.
    pub words: BTreeMap<String, Meaning>,
    answers: AnswersOfFile,
    /// All of them; none: from anywhere.
    allowed_networks: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AnswersOfFile {
    success_code: Option<u16>,
    success_body: Option<String>,
    success_content_type: Option<String>,
    refusal_code: Option<u16>,
    refusal_body: Option<String>,
    refusal_content_type: Option<String>,
}

impl IntegrationFile {
    /// Reads the file at `path`; `-` is standard input.
    pub fn read(path: &str) -> anyhow::Result<Self> {
        let text = match path {
            "-" => {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
            }
            path => std::fs::read_to_string(path),
        };
        let text = text.with_context(|| format!("--file: {path} cannot be read"))?;
        Self::parse(&text).with_context(|| format!("--file: {path} is no integration"))
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    pub fn apply(self, settings: &mut Settings) {
        let AnswersOfFile {
            success_code,
            success_body,
            success_content_type,
            refusal_code,
            refusal_body,
            refusal_content_type,
        } = self.answers;
        let answers = &mut settings.answers;
        set(&mut answers.success_code, success_code);
        set(&mut answers.success_body, success_body.map(Some));
        set(&mut answers.success_content_type, success_content_type);
        set(&mut answers.refusal_code, refusal_code.map(Some));
        set(&mut answers.refusal_body, refusal_body.map(Some));
        set(&mut answers.refusal_content_type, refusal_content_type);
        set(&mut settings.name, self.name);
        set(&mut settings.field_map, self.field_map);
        set(&mut settings.allowed_networks, self.allowed_networks);
    }
}

fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setup::integration::EXAMPLES;

    #[test]
    fn the_file_of_the_help_can_be_read() {
        let file = EXAMPLES.split("or stays as it is:").nth(1).unwrap();
        let file = IntegrationFile::parse(file).unwrap();
        let mut settings = Settings { is_active: true, ..Settings::default() };
        assert_eq!(file.words["done"], Meaning::Approved);
        file.apply(&mut settings);
        assert_eq!(settings.field_map["click_id"], ["{sub1}"]);
        assert_eq!(settings.answers.success_body.as_deref(), Some("OK"));
        assert_eq!((settings.answers.success_code, settings.name.as_str()), (200, "Shop"));
    }

    #[test]
    fn a_name_that_is_none_is_told() {
        let error = IntegrationFile::parse("[answers]\nsucces_code = 204\n").unwrap_err().to_string();
        assert!(error.contains("succes_code") && error.contains("success_code"), "{error}");
    }
}
