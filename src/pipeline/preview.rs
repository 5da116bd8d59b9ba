//! What the pipeline would say to requests now: the same stations, and nothing written.

use super::inbound::{Asked, InboundRecord, Origin, Submission};
use super::services::Services;
use super::status_mapper::{self, Mapped, Work};
use super::{plan, validator};
use crate::domain::decision::Ledger;
use crate::domain::fields::ReadFields;
use crate::domain::reconciliation::Judgement;
use crate::domain::verdict::Verdict;
use crate::store::{StoreError, clicks, conversions};

/// Judges requests in their order, as one batch of the recorder would decide them.
pub async fn preview(
    services: &Services,
    requests: Vec<(InboundRecord, ReadFields)>,
) -> Result<Vec<Judgement>, StoreError> {
    let submissions: Vec<Submission> = requests
        .into_iter()
        .map(|(inbound, read)| Submission {
            inbound,
            asked: Asked::Conversion(Box::new(read)),
            origin: Origin::default(),
            // Nobody waits: what is told here is the judgement.
            reply: tokio::sync::oneshot::channel().0,
        })
        .collect();
    let clicks = clicks::find(&services.pool, &validator::click_references(&submissions)).await?;
    let catalogue = services.catalogue();
    let items: Vec<Mapped> = submissions
        .into_iter()
        .map(|submission| status_mapper::map(validator::validate(submission, &clicks, &catalogue)))
        .collect();
    let mut ledger = conversions::read_ledger(&services.pool, &plan::keys(&items)).await?;
    Ok(items.iter().map(|item| judge(item, &mut ledger)).collect())
}

fn judge(item: &Mapped, ledger: &mut Ledger) -> Judgement {
    match &item.work {
        Work::Lead(claim) => {
            let known = ledger.leads.get(&claim.lead_id).cloned();
            Judgement::of_lead(claim, known.as_ref(), &ledger.decide(claim))
        }
        Work::Customer(claim) => {
            Judgement::of_customer(&claim.customer_id, claim.active, ledger.decide_customer(claim))
        }
        Work::Ignore(_) => Judgement::of_ignored(),
        Work::Quarantine(matched) => Judgement::of_quarantine(&matched.request.status_word),
        Work::Log(Verdict::Invalid(errors)) => Judgement::of_errors(errors),
        Work::Log(Verdict::Malformed(error)) => Judgement::of_errors(std::slice::from_ref(error)),
        Work::Log(other) => {
            let error = crate::domain::verdict::FieldError::new("row", "refused", other.reason());
            Judgement::of_errors(&[error])
        }
    }
}
