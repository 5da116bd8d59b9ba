//! What the parties of an event are called: its offer, its partner and its advertiser.
//!
//! They are called as they are today, when a request is made: a change of long ago has names too, and
//! one that was renamed is told by its new name. Who may not list a party is not told its name either,
//! whoever has written the template.

use serde::{Deserialize, Serialize};

use super::postback::Owner;
use super::request_settings::{Fault, RequestSettings, mentions};

/// Whom or what a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    Offer,
    Partner,
    Advertiser,
}

impl Party {
    pub const ALL: [Self; 3] = [Self::Offer, Self::Partner, Self::Advertiser];

    /// The macro that is its name, and what a condition calls it.
    pub fn macro_name(self) -> &'static str {
        match self {
            Self::Offer => "offer_name",
            Self::Partner => "partner_name",
            Self::Advertiser => "advertiser_name",
        }
    }

    pub fn of_macro(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|party| party.macro_name() == name)
    }

    /// An advertiser can list no partners, a partner no advertisers; offers are known to both.
    pub fn is_hidden_from(self, owner: Owner) -> bool {
        match self {
            Self::Offer => false,
            Self::Partner => matches!(owner, Owner::Advertiser(_)),
            Self::Advertiser => matches!(owner, Owner::Partner(_)),
        }
    }

    /// Why it cannot stand in a postback of an owner that it is hidden from, and what can.
    pub fn refusal(self) -> &'static str {
        match self {
            Self::Offer => "the offer's name is nobody's secret",
            Self::Partner => {
                "advertisers are not told what partners are called; leave partner_name out, or take partner_id"
            }
            Self::Advertiser => {
                "partners are not told what advertisers are called; leave advertiser_name out, or take offer_name"
            }
        }
    }
}

/// What the parties of one event are called; none where that is not known, or was not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyNames {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertiser: Option<String>,
}

/// Of an event whose parties' names nobody asks for.
pub static NO_NAMES: PartyNames = PartyNames { offer: None, partner: None, advertiser: None };

impl PartyNames {
    pub fn of(&self, party: Party) -> Option<&str> {
        match party {
            Party::Offer => self.offer.as_deref(),
            Party::Partner => self.partner.as_deref(),
            Party::Advertiser => self.advertiser.as_deref(),
        }
    }

    /// Those that are missing, as `other` has them.
    pub fn or(self, other: &Self) -> Self {
        Self {
            offer: self.offer.or_else(|| other.offer.clone()),
            partner: self.partner.or_else(|| other.partner.clone()),
            advertiser: self.advertiser.or_else(|| other.advertiser.clone()),
        }
    }
}

/// Where a request, in our own notation, asks for names that a postback of `owner` never tells.
pub fn hidden_names(request: &RequestSettings, owner: Owner) -> Vec<Fault> {
    let url = [("url_template".to_owned(), request.url_template.as_str())];
    let headers = request.headers.iter().enumerate();
    let headers = headers.map(|(index, one)| (format!("headers[{index}].value"), one.value.as_str()));
    let body = [("body_template".to_owned(), request.body_template.as_str())];
    let texts: Vec<(String, &str)> = url.into_iter().chain(headers).chain(body).collect();
    let hidden = || Party::ALL.into_iter().filter(|party| party.is_hidden_from(owner));
    let in_texts = hidden().flat_map(|party| {
        let asking = texts.iter().filter(move |(_, text)| mentions(text, party.macro_name()));
        asking.map(move |(field, _)| Fault::new(field.as_str(), party.refusal()))
    });
    let required = request.required_macros.iter().enumerate();
    let in_required = required.filter_map(|(index, name)| {
        let party = Party::of_macro(name).filter(|party| party.is_hidden_from(owner))?;
        Some(Fault::new(format!("required_macros[{index}]"), party.refusal()))
    });
    in_texts.chain(in_required).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::composite::{Composite, Layout};
    use crate::domain::event::Event;
    use crate::domain::facts::{EventMacros, POSTBACK_MACROS};
    use crate::domain::ids::{AdvertiserId, PartnerId};
    use crate::domain::request_settings::HeaderSetting;
    use crate::domain::request_values::RequestValues;
    use crate::domain::sample::{sample, sample_delivery};
    use crate::domain::template::MacroValues;
    use proptest::prelude::*;
    use uuid::Uuid;

    const PARTNER: Owner = Owner::Partner(PartnerId(Uuid::nil()));
    const ADVERTISER: Owner = Owner::Advertiser(AdvertiserId(Uuid::nil()));

    #[test]
    fn every_name_is_a_macro_beside_its_id() {
        for party in Party::ALL {
            let name = party.macro_name();
            assert!(POSTBACK_MACROS.contains(&name), "{name}");
            assert!(POSTBACK_MACROS.contains(&name.replace("_name", "_id").as_str()), "{name}");
            assert_eq!(Party::of_macro(name), Some(party));
            assert!(!party.is_hidden_from(Owner::Platform), "{name}");
        }
        assert_eq!(Party::of_macro("offer_id"), None);
    }

    #[test]
    fn a_hidden_name_is_found_wherever_it_is_asked_for() {
        let header = |value: &str| HeaderSetting { name: "X-Name".into(), value: value.into() };
        let request = RequestSettings {
            url_template: "https://t.example/{partner_name|lower}?o={offer_name}&a={advertiser_id}".into(),
            headers: vec![header("{partner_id}"), header("{advertiser_name|default:'}'}")],
            body_template: r#"{"who": "{advertiser_name}", "by": {partner_name}}"#.into(),
            required_macros: vec!["offer_name".into(), "partner_name".into()],
            ..RequestSettings::get("")
        };
        let fields = |owner| -> Vec<String> {
            hidden_names(&request, owner).into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields(ADVERTISER), ["url_template", "body_template", "required_macros[1]"]);
        assert_eq!(fields(PARTNER), ["headers[1].value", "body_template"]);
        assert_eq!(fields(Owner::Platform), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_taken_from_elsewhere() {
        let some = |name: &str| Some(name.to_owned());
        let names = PartyNames { offer: some("Offer"), ..PartyNames::default() };
        let others = PartyNames { offer: some("Another"), partner: some("Partner"), advertiser: None };
        let both = PartyNames { offer: some("Offer"), partner: some("Partner"), advertiser: None };
        assert_eq!(names.or(&others), both);
    }

    /// What a partner gets does not reach an advertiser by a link's composite either.
    #[test]
    fn a_composite_tells_an_advertiser_no_payout() {
        let composite = Composite {
            parameter: "tracker".into(),
            start: String::new(),
            end: String::new(),
            separator: "|".into(),
            fields: ["payout", "payout_currency", "amount"].map(str::to_owned).to_vec(),
            layout: Layout::Plain,
        };
        let facts = sample(Event::Approve);
        let told = |owner| {
            let macros = EventMacros { event: Event::Approve, facts: &facts, owner, names: &NO_NAMES };
            let composite = Some(&composite);
            let values = RequestValues { delivery_id: sample_delivery(), macros, composite, secret: None };
            values.value("tracker").into_owned()
        };
        assert_eq!(told(ADVERTISER), "||25.00");
        assert_eq!(told(PARTNER), "10.50|USD|25.00");
    }

    proptest! {
        /// Neither by itself nor as a field of a composite.
        #[test]
        fn a_hidden_name_has_no_value(
            offer in "[A-Z][a-z]{3,9}", partner in "[A-Z]{4,9}", advertiser in "[0-9]{4,9}",
            owner in prop::sample::select(vec![PARTNER, ADVERTISER, Owner::Platform]),
            event in prop::sample::select(Event::ALL.to_vec()),
        ) {
            let names = PartyNames {
                offer: Some(offer.clone()), partner: Some(partner.clone()), advertiser: Some(advertiser.clone()),
            };
            let composite = Composite {
                parameter: "tracker".into(), start: "<".into(), end: ">".into(), separator: "|".into(),
                fields: Party::ALL.map(|party| party.macro_name().to_owned()).to_vec(), layout: Layout::Plain,
            };
            let facts = sample(event);
            let values = RequestValues {
                delivery_id: sample_delivery(),
                macros: EventMacros { event, facts: &facts, owner, names: &names },
                composite: Some(&composite),
                secret: None,
            };
            let told = |party: Party| if party.is_hidden_from(owner) { "" } else { names.of(party).unwrap() };
            for party in Party::ALL {
                prop_assert_eq!(values.value(party.macro_name()), told(party));
            }
            let [offer, partner, advertiser] = Party::ALL.map(told);
            prop_assert_eq!(values.value("tracker"), format!("<{offer}|{partner}|{advertiser}>"));
        }
    }
}
