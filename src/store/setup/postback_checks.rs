//! What a change to a postback must not ask for, whoever makes it and whatever stands there already.

use url::Url;

use super::ChangeError;
use super::postbacks::PostbackChange;
use crate::domain::address_policy::{Policy, vet_url};
use crate::domain::condition::Condition;
use crate::domain::party_names::{Party, hidden_names};
use crate::domain::postback::Owner;
use crate::domain::request_settings::{Fault, RequestChange, RequestSettings, Translated, mentions};
use crate::graphql::scope::Scope;

/// The request as the change leaves it, in our notation, with what was translated. `reach` is of
/// whoever makes the change, `owner` is whose postback it is.
///
/// # Errors
/// Every fault of the change.
pub(super) fn checked(
    change: &PostbackChange,
    before: RequestSettings,
    policy: &Policy,
    reach: Scope,
    owner: Owner,
) -> Result<(RequestSettings, Vec<Translated>), ChangeError> {
    let mut faults = check(change);
    faults.extend(hidden_names_in_condition(change, owner));
    let mut request = change.request.clone().over(before);
    let translated = request.translate().and_then(|translated| request.compile().map(|_| translated));
    match translated {
        Ok(translated) => {
            faults.extend(origin_fault(&request, policy));
            faults.extend(hidden_names(&request, owner));
            if !reach.sees_payouts() {
                faults.extend(payout_faults(change, &request));
            }
            if faults.is_empty() { Ok((request, translated)) } else { Err(ChangeError::BadValues(faults)) }
        }
        Err(of_request) => {
            faults.extend(of_request);
            Err(ChangeError::BadValues(faults))
        }
    }
}

/// Where a change asks for what partners get: who may not know it cannot have it sent either, nor
/// filter by it. What the network itself has put there stays.
fn payout_faults(change: &PostbackChange, request: &RequestSettings) -> Vec<Fault> {
    let RequestChange { url_template, headers, body_template, required_macros, .. } = &change.request;
    let url = url_template.is_some().then_some(("url_template", request.url_template.as_str()));
    let body = body_template.is_some().then_some(("body_template", request.body_template.as_str()));
    let headers = headers.iter().flat_map(|_| &request.headers).map(|one| ("headers", one.value.as_str()));
    let templates = url.into_iter().chain(headers).chain(body).filter(|(_, text)| has_payout_macro(text));
    let condition = change.condition.as_deref().filter(|text| compares(text, &PAYOUT_NAMES));
    // What is skipped for want of it would tell whether there is one.
    let is_required = required_macros.is_some()
        && request.required_macros.iter().any(|name| PAYOUT_NAMES.contains(&name.as_str()));
    let required = is_required.then_some("required_macros");
    let fields = templates.map(|(field, _)| field).chain(condition.map(|_| "condition")).chain(required);
    let message = "payout is between the network and the partner; leave it out, or take amount";
    fields.map(|field| Fault::new(field, message)).collect()
}

/// Where its condition asks for what the postback's owner may not know, whoever writes it.
fn hidden_names_in_condition(change: &PostbackChange, owner: Owner) -> Vec<Fault> {
    let Some(condition) = change.condition.as_deref() else { return Vec::new() };
    let hidden = Party::ALL.into_iter().filter(|party| party.is_hidden_from(owner));
    let asked_for = hidden.filter(|party| compares(condition, &[party.macro_name()]));
    asked_for.map(|party| Fault::new("condition", party.refusal())).collect()
}

fn has_payout_macro(template: &str) -> bool {
    let text: String = template.split_whitespace().collect();
    PAYOUT_NAMES.iter().any(|name| mentions(&text, name))
}

/// What only the network and the partner may know.
const PAYOUT_NAMES: [&str; 2] = ["payout", "payout_currency"];

/// Whether one of the names stands in a condition, outside of quotes and not as a custom field's.
fn compares(condition: &str, names: &[&str]) -> bool {
    let mut quote = None;
    let mut bare = String::new();
    let mut chars = condition.chars();
    while let Some(char) = chars.next() {
        match quote {
            None if matches!(char, '"' | '\'') => quote = Some(char),
            None => bare.push(char),
            Some(_) if char == '\\' => _ = chars.next(),
            Some(open) if char == open => quote = None,
            Some(_) => {}
        }
    }
    let is_of_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '.');
    bare.split(|char| !is_of_name(char)).any(|word| {
        // A method may follow: `payout_currency.startsWith("U")`.
        let name = word.split('.').next().unwrap_or_default();
        names.contains(&name)
    })
}

/// Where the URL must not lead. What a name leads to is judged at each sending.
fn origin_fault(request: &RequestSettings, policy: &Policy) -> Option<Fault> {
    // No macro stands before the end of the host.
    let fixed = request.url_template.split('{').next().unwrap_or_default();
    let origin = match Url::parse(fixed) {
        Ok(origin) => origin,
        Err(error) => return Some(Fault::new("url_template", error.to_string())),
    };
    vet_url(&origin, policy).err().map(|refusal| Fault::new("url_template", refusal.to_string()))
}

fn check(change: &PostbackChange) -> Vec<Fault> {
    let mut faults = Vec::new();
    if change.events.as_ref().is_some_and(Vec::is_empty) {
        faults.push(Fault::new("events", "name at least one event, such as APPROVE"));
    }
    if let Some(condition) = change.condition.as_deref().map(str::trim).filter(|text| !text.is_empty())
        && let Err(error) = Condition::parse(condition)
    {
        faults.push(Fault::new("condition", error.to_string()));
    }
    if change.max_in_flight.is_some_and(|most| !(1..=1_000).contains(&most)) {
        faults.push(Fault::new("max_in_flight", "write 1 to 1000 requests at once"));
    }
    if change.timeout_ms.is_some_and(|timeout| !(100..=60_000).contains(&timeout)) {
        faults.push(Fault::new("timeout_ms", "write 100 to 60000 milliseconds"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payout_is_found_wherever_it_is_asked_for() {
        for template in ["{payout}", "x={payout|round:2}", "{ payout }", "c={payout_currency|lower}"] {
            assert!(has_payout_macro(template), "{template}");
        }
        for template in ["payout={amount}", "{fields.payout}", "{payouts}", "{amount_currency}"] {
            assert!(!has_payout_macro(template), "{template}");
        }
        for condition in [
            "payout >= 10",
            "payout_currency == \"USD\"",
            "event == \"sale\" && 2*payout>1",
            "(payout) == 1",
            "payout_currency.startsWith('U')",
        ] {
            assert!(compares(condition, &PAYOUT_NAMES), "{condition}");
        }
        for condition in
            ["event == \"payout\"", "fields.payout == '1'", "action == 'a\\'payout'", "amount > 1"]
        {
            assert!(!compares(condition, &PAYOUT_NAMES), "{condition}");
        }
    }
}
