//! What a door may add where a request is silent.
//!
//! Most doors add nothing: what is required has to be there. The Conversions API and mapped
//! integrations fill a missing action and request id by the offer's defaults. A browser is
//! nobody one can trust, so its doors make of every request a `hold` of one offer.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};

use super::catalogue::{Action, Offer};
use super::fields::ConversionRequest;
use super::ids::{ActionId, ClickId, OfferId};
use super::verdict::FieldError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Completion {
    /// Nothing is added.
    #[default]
    AsSent,
    /// A missing action is the offer's only or default one; a missing request id is derived
    /// from the click, the action and, where the action is repeatable, the time.
    Defaults,
    /// The status is `hold` whatever was sent, and the click must be one of this offer.
    HoldOf(OfferId),
}

impl Completion {
    /// Whether a request may come without this field.
    pub fn can_do_without(self, field: &str) -> bool {
        match self {
            Self::AsSent => false,
            Self::Defaults => matches!(field, "action" | "request_id"),
            Self::HoldOf(_) => field == "status",
        }
    }

    /// Adds what is missing, now that the click's offer is known. The faults it cannot mend are
    /// returned; a request for a customer, not a lead, has no `action` and needs no request id.
    pub fn complete(
        self,
        request: &mut ConversionRequest,
        click_id: ClickId,
        offer: &Offer,
    ) -> Result<(), FieldError> {
        if self != Self::Defaults {
            return Ok(());
        }
        if request.action.is_empty() {
            let action = offer.default_action().ok_or_else(|| no_default_action(offer))?;
            request.action.clone_from(&action.name);
        }
        if request.request_id.is_empty()
            && let Some(action) = offer.action(&request.action)
        {
            request.request_id = derived_request_id(click_id, action, request.occurred_at)?;
        }
        Ok(())
    }
}

fn no_default_action(offer: &Offer) -> FieldError {
    let message = format!(
        "this offer has several actions and none of them is its default; send one of {}",
        offer.action_names()
    );
    FieldError::new("action", "missing", message)
}

fn derived_request_id(
    click_id: ClickId,
    action: &Arc<Action>,
    occurred_at: Option<DateTime<Utc>>,
) -> Result<String, FieldError> {
    if !action.repeatable {
        return Ok(request_id_of(click_id, action.action_id, None));
    }
    let occurred_at = occurred_at.ok_or_else(|| {
        let message = format!(
            "send request_id, or datetime: {} may happen many times per click, and one of the two has to \
             tell them apart",
            action.name
        );
        FieldError::new("request_id", "missing", message)
    })?;
    Ok(request_id_of(click_id, action.action_id, Some(occurred_at)))
}

/// The request id of a conversion that came without one: `auto:{click_id}:{action_id}`, with
/// `:{datetime}` (RFC 3339, UTC) where the action is repeatable. It is contract: a sender who
/// goes over to ids of its own can name an earlier conversion by it.
pub fn request_id_of(click_id: ClickId, action_id: ActionId, occurred_at: Option<DateTime<Utc>>) -> String {
    let time = occurred_at.map(|time| format!(":{}", time.to_rfc3339_opts(SecondsFormat::AutoSi, true)));
    format!("auto:{click_id}:{action_id}{}", time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_derived_request_id_says_what_it_was_derived_from() {
        let (click, action) = (ClickId(Uuid::from_u128(1)), ActionId(Uuid::from_u128(2)));
        let once = request_id_of(click, action, None);
        assert_eq!(once, "auto:00000000-0000-0000-0000-000000000001:00000000-0000-0000-0000-000000000002");
        let time = DateTime::parse_from_rfc3339("2025-08-04T14:00:00+02:00").unwrap().to_utc();
        let timed = request_id_of(click, action, Some(time));
        assert_eq!(timed, format!("{once}:2025-08-04T12:00:00Z"));
    }

    #[test]
    fn only_the_defaults_do_without_a_request_id() {
        let offer = Completion::HoldOf(OfferId(Uuid::nil()));
        for (completion, without) in
            [(Completion::AsSent, ""), (Completion::Defaults, "action request_id"), (offer, "status")]
        {
            let fields = ["click_id", "request_id", "action", "status"];
            let spared: Vec<_> =
                fields.into_iter().filter(|field| completion.can_do_without(field)).collect();
            let mut expected: Vec<_> = without.split_whitespace().collect();
            expected.sort_by_key(|name| fields.iter().position(|field| field == name));
            assert_eq!(spared, expected);
        }
    }
}
