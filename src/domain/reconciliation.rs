//! What a row of an advertiser's file comes to, compared with what we have.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::coded::coded_enum;
use super::decision::{Claim, CustomerDecision, Decision, KnownLead};
use super::fields::ConversionRequest;
use super::ids::LeadId;
use super::money::Currency;
use super::verdict::FieldError;

coded_enum! {
    /// What a row of the file would do.
    RowResult {
        /// We have it just so.
        Unchanged = "unchanged",
        Change = "change",
        New = "new",
        /// It contradicts what we have; nothing would be changed.
        Conflict = "conflict",
        /// Nobody has mapped its status word; it would wait.
        Quarantine = "quarantine",
        Error = "error",
        /// We have it, and the file has not.
        Absent = "absent",
    }
}

impl RowResult {
    /// Whether applying the file does anything with such a row.
    pub fn is_applied(self) -> bool {
        matches!(self, Self::Change | Self::New | Self::Quarantine)
    }
}

/// A row judged: what it would do, to which lead, and the particulars.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub result: RowResult,
    pub lead_id: Option<LeadId>,
    pub details: Value,
}

impl Judgement {
    pub fn of_errors(errors: &[FieldError]) -> Self {
        Self { result: RowResult::Error, lead_id: None, details: json!({ "errors": errors }) }
    }

    pub fn of_quarantine(word: &str) -> Self {
        let message = format!("nobody has mapped the status word {word:?} yet; the row would wait for it");
        let details = json!({ "word": word, "message": message });
        Self { result: RowResult::Quarantine, lead_id: None, details }
    }

    /// From what the ledger decided; `known` is the lead before the decision.
    pub fn of_lead(claim: &Claim, known: Option<&KnownLead>, decision: &Decision) -> Self {
        let lead_id = Some(claim.lead_id);
        match decision {
            Decision::Create { .. } => {
                Self { result: RowResult::New, lead_id, details: changes(None, claim, &claim.request) }
            }
            Decision::Change { request, .. } => {
                Self { result: RowResult::Change, lead_id, details: changes(known, claim, request) }
            }
            Decision::Duplicate => Self { result: RowResult::Unchanged, lead_id, details: json!({}) },
            Decision::Conflict(reason) => {
                let details = json!({ "code": reason.code(), "message": reason.sentence() });
                Self { result: RowResult::Conflict, lead_id, details }
            }
            Decision::Refuse(error) => Self { lead_id, ..Self::of_errors(std::slice::from_ref(error)) },
        }
    }

    /// Its status word is mapped to nothing.
    pub fn of_ignored() -> Self {
        Self { result: RowResult::Unchanged, lead_id: None, details: json!({}) }
    }

    pub fn of_customer(customer_id: &str, is_active: bool, decision: CustomerDecision) -> Self {
        let (result, details) = match decision {
            CustomerDecision::Refuse(error) => return Self::of_errors(&[error]),
            CustomerDecision::Duplicate => (RowResult::Unchanged, json!({})),
            CustomerDecision::Set { .. } => {
                let change =
                    json!({ "field": "customer", "from": null, "to": customer_id, "active": is_active });
                (RowResult::Change, json!({ "changes": [change] }))
            }
        };
        Self { result, lead_id: None, details }
    }
}

/// Field by field, from what to what; what stays is left out.
fn changes(known: Option<&KnownLead>, claim: &Claim, request: &ConversionRequest) -> Value {
    let money = |amount: Option<Decimal>| amount.map(|amount| amount.normalize().to_string());
    let code = |currency: Option<Currency>| currency.map(|currency| currency.code().to_owned());
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let currency = Some(request.currency.unwrap_or(claim.action.currency));
    let mut pairs = vec![
        ("status".to_owned(), known.map(|known| known.status.code().to_owned()), filled(claim.status.code())),
        ("price".into(), money(known.and_then(|known| known.price)), money(request.price)),
        ("currency".into(), code(known.and_then(|known| known.currency)), code(currency)),
        (
            "customer_id".into(),
            known.and_then(|known| known.customer_id.clone()),
            request.customer_id.clone(),
        ),
        ("comment".into(), known.and_then(|known| filled(&known.comment)), filled(&request.comment)),
    ];
    for (name, value) in &request.fields {
        let before = known.and_then(|known| known.fields.get(name).cloned());
        pairs.push((format!("fields.{name}"), before, filled(value)));
    }
    if known.is_none() {
        pairs.insert(0, ("action".into(), None, filled(&claim.action.name)));
    }
    let changes: Vec<Value> = pairs
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(field, from, to)| json!({ "field": field, "from": from, "to": to }))
        .collect();
    json!({ "changes": changes })
}
