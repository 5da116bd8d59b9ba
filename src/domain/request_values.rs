//! What a postback's request is filled with: the facts of an event, the link's composite rebuilt
//! of them, and the postback's secret.

use std::borrow::Cow;

use super::composite::{Composite, IGNORED};
use super::facts::{EventMacros, POSTBACK_MACROS};
use super::fields::{FIELDS_PREFIX, unprefixed};
use super::ids::DeliveryId;
use super::postback::Owner;
use super::template::MacroValues;
use super::visit::Mark;

pub struct RequestValues<'a> {
    /// The same in every attempt: what receivers know a repeated one by.
    pub delivery_id: DeliveryId,
    pub macros: EventMacros<'a>,
    /// How the click's link packs several values into one parameter, if so.
    pub composite: Option<&'a Composite>,
    /// The postback's newest secret.
    pub secret: Option<&'a [u8]>,
}

impl MacroValues for RequestValues<'_> {
    fn value(&self, name: &str) -> Cow<'_, str> {
        match (name, self.composite) {
            ("tracker", Some(composite)) => self.tracker(composite),
            ("delivery_id", _) => self.delivery_id.to_string().into(),
            _ => self.macros.value(name),
        }
    }

    fn secret(&self) -> Option<&[u8]> {
        self.secret
    }
}

impl RequestValues<'_> {
    /// The composite, built of what is known now. Fields that came with the click go out as they
    /// came, empty ones and those we do not read included; those that only the event knows, such
    /// as `txid` or `payout`, are filled. A composite that could not be read goes out as it came.
    fn tracker(&self, composite: &Composite) -> Cow<'_, str> {
        let facts = self.macros.facts;
        if facts.fields.contains_key(Mark::Composite.code()) {
            return Cow::Borrowed(&facts.tracker);
        }
        let came = composite.parse(&facts.tracker).ok();
        let value = |(index, field): (usize, &String)| {
            let came = came.as_ref().map(|values| Cow::Borrowed(values[index].as_str()));
            match (field.as_str(), came) {
                ("click_id", _) => self.macros.value(field),
                (IGNORED, came) => came.unwrap_or_default(),
                (_, Some(came)) if !came.is_empty() || is_known_at_the_click(field) => came,
                ("delivery_id", _) => self.value(field),
                // A link's composite is not written for advertisers, and they may not know this.
                ("payout" | "payout_currency", _) if matches!(self.macros.owner, Owner::Advertiser(_)) => {
                    Cow::Borrowed("")
                }
                (name, _) if POSTBACK_MACROS.contains(&name) => self.macros.value(name),
                (name, _) => {
                    self.macros.value(&format!("{FIELDS_PREFIX}{}", unprefixed(name))).into_owned().into()
                }
            }
        };
        let values: Vec<Cow<str>> = composite.fields.iter().enumerate().map(value).collect();
        composite.rebuild(&values).into()
    }
}

/// Whether a field had its last word when the visitor came: an empty one stays empty.
fn is_known_at_the_click(field: &str) -> bool {
    !POSTBACK_MACROS.contains(&field)
        || matches!(field, "clickid" | "sub1" | "sub2" | "sub3" | "sub4" | "sub5" | "tracker")
}
