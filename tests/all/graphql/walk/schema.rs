//! The schema as it tells of itself: what can be asked, and a selection of everything in an answer.

use std::collections::{BTreeMap, BTreeSet};

use ricochet::graphql::scope::Grant;
use serde_json::Value;

use crate::graphql::stage::Stage;

/// Deeper nothing is selected: a request has 10 levels at most.
const LEVELS: usize = 9;

/// What is asked of each list inside a list.
const NESTED: &str = "(first: 3)";

const INTROSPECTION: &str = "{ __schema { queryType { name } types { name kind fields { name
    args { name defaultValue type { kind } }
    type { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

pub struct SchemaWalk {
    /// Fields of each object type.
    types: BTreeMap<String, Vec<Field>>,
    query: String,
    /// `Type.field` of everything that the walk selects.
    fields: BTreeSet<String>,
}

#[derive(Clone)]
struct Field {
    name: String,
    /// Of the innermost type.
    type_name: String,
    is_required_by_arguments: bool,
    has_first: bool,
}

impl SchemaWalk {
    pub async fn of(stage: &Stage) -> Self {
        let schema = stage.data(Grant::Owner, INTROSPECTION).await["__schema"].clone();
        let mut types = BTreeMap::new();
        for object in schema["types"].as_array().unwrap() {
            let name = object["name"].as_str().unwrap();
            if object["kind"] != "OBJECT" || name.starts_with("__") {
                continue;
            }
            let fields = object["fields"].as_array().unwrap().iter().map(Field::read).collect();
            types.insert(name.to_owned(), fields);
        }
        let query = schema["queryType"]["name"].as_str().unwrap().to_owned();
        let mut walk = Self { types, query, fields: BTreeSet::new() };
        let queries: Vec<Field> = walk.types[&walk.query].clone();
        for query in queries {
            walk.note(&query.type_name, &[]);
        }
        walk
    }

    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.types[&self.query].iter().map(|field| field.name.as_str())
    }

    pub fn needs_arguments(&self, query: &str) -> bool {
        self.query_field(query).is_required_by_arguments
    }

    fn query_field(&self, query: &str) -> &Field {
        self.types[&self.query].iter().find(|field| field.name == query).unwrap()
    }

    /// Everything below a query.
    pub fn selection_of(&self, query: &str) -> String {
        self.selection(&self.query_field(query).type_name, &[]).unwrap_or_default()
    }

    /// Everything in a type, below the types `around` it. What leads back into one of those, such as
    /// the conversion of a conversion's delivery, is not selected again.
    fn selection(&self, type_name: &str, around: &[&str]) -> Option<String> {
        let fields = self.types.get(type_name)?;
        let around = [around, &[type_name]].concat();
        let selected = fields.iter().filter_map(|field| {
            assert!(
                !field.is_required_by_arguments,
                "{type_name}.{} needs arguments; teach the walk",
                field.name
            );
            match self.types.contains_key(&field.type_name) {
                false => Some(field.name.clone()),
                true if is_entered(&around, &field.type_name) => {
                    let nested = if field.has_first { NESTED } else { "" };
                    Some(format!("{}{nested} {}", field.name, self.selection(&field.type_name, &around)?))
                }
                true => None,
            }
        });
        Some(format!("{{ {} }}", selected.collect::<Vec<_>>().join(" ")))
    }

    fn note(&mut self, type_name: &str, around: &[&str]) {
        let Some(fields) = self.types.get(type_name).cloned() else { return };
        let around = [around, &[type_name]].concat();
        for field in fields {
            let is_object = self.types.contains_key(&field.type_name);
            if !is_object || is_entered(&around, &field.type_name) {
                self.fields.insert(format!("{type_name}.{}", field.name));
                self.note(&field.type_name, &around);
            }
        }
    }

    /// `Type.field` of everything that can be in an answer.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str)
    }
}

fn is_entered(around: &[&str], type_name: &str) -> bool {
    around.len() < LEVELS && !around.contains(&type_name)
}

impl Field {
    fn read(field: &Value) -> Self {
        let mut named = &field["type"];
        while !named["ofType"].is_null() {
            named = &named["ofType"];
        }
        let is_required =
            |argument: &Value| argument["type"]["kind"] == "NON_NULL" && argument["defaultValue"].is_null();
        Self {
            name: field["name"].as_str().unwrap().to_owned(),
            type_name: named["name"].as_str().unwrap().to_owned(),
            is_required_by_arguments: field["args"].as_array().unwrap().iter().any(is_required),
            has_first: field["args"].as_array().unwrap().iter().any(|argument| argument["name"] == "first"),
        }
    }
}

/// `Type.field` of everything in an answer that is neither null nor an empty list.
pub fn field_values(walk: &SchemaWalk, query: &str, answer: &Value) -> Vec<String> {
    let name = query.trim_start_matches(['{', ' ']).split(['(', ' ']).next().unwrap();
    let mut found = Vec::new();
    gather(walk, &walk.query_field(name).type_name, &answer["data"][name], &mut found);
    found
}

fn gather(walk: &SchemaWalk, type_name: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(walk, type_name, item, found)),
        Value::Object(values) => {
            let Some(fields) = walk.types.get(type_name) else { return };
            for field in fields {
                let Some(value) = values.get(&field.name) else { continue };
                let is_there = !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
                if is_there {
                    found.push(format!("{type_name}.{}", field.name));
                    gather(walk, &field.type_name, value, found);
                }
            }
        }
        _ => {}
    }
}
