//! What a postback's request is filled with beside the facts of its event: what the catalogue says
//! today of those who have to do with it.

use std::sync::Arc;

use super::catalogue::Catalogue;
use super::composite::Composite;
use super::facts::EventFacts;
use super::party_names::PartyNames;
use super::request_template::RequestTemplate;

#[derive(Debug, Clone, Default)]
pub struct Background {
    /// How the click's link packs several values into one parameter, if so.
    pub composite: Option<Arc<Composite>>,
    /// Only where the request, or the composite, may ask for them.
    pub names: PartyNames,
}

impl Background {
    pub fn of(catalogue: &Catalogue, request: &RequestTemplate, facts: &EventFacts) -> Self {
        let composite = catalogue.composite_of(facts.link_id);
        let names = match request.tells_names || composite.is_some() {
            true => catalogue.party_names(facts),
            false => PartyNames::default(),
        };
        Self { composite, names }
    }
}
