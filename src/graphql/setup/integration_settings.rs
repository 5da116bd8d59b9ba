//! The parts of an integration, as they are shown and set.

use std::collections::BTreeMap;

use async_graphql::{InputObject, MaybeUndefined, SimpleObject};

use crate::domain::integration::Answers;
use crate::graphql::failure::Failure;
use crate::store::integrations::RawFieldMap;

/// One of our fields, and where its value comes from.
#[derive(SimpleObject)]
pub struct MappedField {
    /// Such as `click_id`, or `fields.NAME`.
    field: String,
    /// Over the sender's parameters; the first that has a value counts.
    templates: Vec<String>,
}

pub fn mapped_fields(map: RawFieldMap) -> Vec<MappedField> {
    map.into_iter().map(|(field, templates)| MappedField { field, templates }).collect()
}

#[derive(InputObject)]
pub struct MappedFieldInput {
    /// Such as `click_id`, `status`, or `fields.NAME`.
    field: String,
    /// Over the sender's parameters, such as `{sub1}`; the first that has a value counts.
    templates: Vec<String>,
}

pub fn read_field_map(inputs: Vec<MappedFieldInput>) -> Result<RawFieldMap, Failure> {
    let mut map = BTreeMap::new();
    for MappedFieldInput { field, templates } in inputs {
        if map.contains_key(&field) {
            let message = format!("{field:?} is mapped twice; put its templates into one entry");
            return Err(Failure::bad_input("input.fieldMap", message));
        }
        map.insert(field, templates);
    }
    Ok(map)
}

/// What the sender is told.
#[derive(SimpleObject)]
pub struct IntegrationAnswers {
    success_code: u16,
    /// Null: the JSON of every door.
    success_body: Option<String>,
    success_content_type: String,
    /// Null: the code of every door.
    refusal_code: Option<u16>,
    /// Null: the JSON of every door.
    refusal_body: Option<String>,
    refusal_content_type: String,
}

impl From<Answers> for IntegrationAnswers {
    fn from(answers: Answers) -> Self {
        Self {
            success_code: answers.success_code,
            success_body: answers.success_body,
            success_content_type: answers.success_content_type,
            refusal_code: answers.refusal_code,
            refusal_body: answers.refusal_body,
            refusal_content_type: answers.refusal_content_type,
        }
    }
}

/// What is left out stays as it is; null stands for what every door does.
#[derive(InputObject)]
pub struct IntegrationAnswersInput {
    /// 200 to 299.
    success_code: Option<u16>,
    success_body: MaybeUndefined<String>,
    success_content_type: Option<String>,
    /// 200 to 499.
    refusal_code: MaybeUndefined<u16>,
    refusal_body: MaybeUndefined<String>,
    refusal_content_type: Option<String>,
}

impl IntegrationAnswersInput {
    pub fn apply(self, answers: &mut Answers) {
        set(&mut answers.success_code, self.success_code);
        set(&mut answers.success_body, self.success_body.into());
        set(&mut answers.success_content_type, self.success_content_type);
        set(&mut answers.refusal_code, self.refusal_code.into());
        set(&mut answers.refusal_body, self.refusal_body.into());
        set(&mut answers.refusal_content_type, self.refusal_content_type);
    }
}

/// Takes a value that was given.
pub fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *place = value;
    }
}
