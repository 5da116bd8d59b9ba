//! Judges a chunk of rows: what we know fills in what a row leaves out, then the pipeline says
//! what it would do.

use std::net::IpAddr;

use uuid::Uuid;

use super::csv_file::FileRow;
use crate::domain::access::replay::Proof;
use crate::domain::completion::Completion;
use crate::domain::fields::{self, ReadFields, our_name};
use crate::domain::ids::{AdvertiserId, InboundId};
use crate::domain::reconciliation::{Judgement, RowResult};
use crate::domain::redact::redact_parameters;
use crate::domain::verdict::{FieldError, Manner};
use crate::pipeline::inbound::InboundRecord;
use crate::pipeline::preview::preview;
use crate::pipeline::services::Services;
use crate::store::StoreError;
use crate::store::reconciliations::{self, KnownConversion, NewRow};

/// Whose file it is, and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub advertiser: AdvertiserId,
    pub source_ip: Option<IpAddr>,
}

/// Judges rows that follow `position`, and adds them to the file.
pub async fn judge_and_store(
    services: &Services,
    sender: Sender,
    file: Uuid,
    rows: Vec<FileRow>,
    position: i64,
) -> Result<(), StoreError> {
    let request_ids: Vec<String> = rows.iter().map(|row| value_of(&row.parameters, "request_id")).collect();
    let asked: Vec<&str> =
        request_ids.iter().map(String::as_str).filter(|id| !id.is_empty() && !id.contains('\0')).collect();
    let known = reconciliations::known(&services.pool, sender.advertiser, &asked).await?;

    let mut stored: Vec<NewRow> = Vec::with_capacity(rows.len());
    let mut to_judge: Vec<(usize, InboundRecord, ReadFields)> = Vec::new();
    for (index, (row, request_id)) in rows.into_iter().zip(request_ids).enumerate() {
        let FileRow { line, mut parameters, mut errors } = row;
        if let Err(error) = complete(&mut parameters, known.get(&request_id).map_or(&[], Vec::as_slice)) {
            errors.push(error);
        }
        let read = fields::read(&parameters, Completion::AsSent);
        if errors.is_empty() {
            to_judge.push((index, inbound(services, sender, &parameters), read));
        } else {
            let further: Vec<_> = read.errors.into_iter().filter(|error| !names(&errors, error)).collect();
            errors.extend(further);
        }
        let judgement = Judgement::of_errors(&errors);
        stored.push(NewRow {
            position: position + 1 + i64::try_from(index).unwrap_or(0),
            line: line.cast_signed(),
            request_id: without_nul(request_id),
            lead_id: None,
            result: judgement.result,
            details: judgement.details,
            parameters: parameters.into_iter().map(|(name, value)| (name, without_nul(value))).collect(),
        });
    }

    let indexes: Vec<usize> = to_judge.iter().map(|(index, ..)| *index).collect();
    let requests = to_judge.into_iter().map(|(_, inbound, read)| (inbound, read)).collect();
    let judgements = preview(services, requests).await?;
    let leads: Vec<Uuid> =
        judgements.iter().filter_map(|judgement| judgement.lead_id).map(|id| id.0).collect();
    let mut lines = reconciliations::lines_of(&services.pool, file, &leads).await?;
    for (index, judgement) in indexes.into_iter().zip(judgements) {
        let row = &mut stored[index];
        row.lead_id = judgement.lead_id.map(|id| id.0);
        row.result = judgement.result;
        row.details = judgement.details;
        if let Some(lead_id) = row.lead_id
            && let Some(line) = lines.insert(lead_id, row.line)
        {
            lines.insert(lead_id, line);
            let message = format!("line {line} is about the same conversion; keep one of the two");
            row.result = RowResult::Error;
            row.lead_id = None;
            row.details =
                Judgement::of_errors(&[FieldError::new("request_id", "repeated_row", message)]).details;
        }
    }
    reconciliations::add_rows(&services.pool, file, &stored).await
}

/// Judges rows again that were stored before.
pub async fn judge_again(
    services: &Services,
    sender: Sender,
    rows: &[Vec<(String, String)>],
) -> Result<Vec<Judgement>, StoreError> {
    let requests = rows
        .iter()
        .map(|parameters| {
            (inbound(services, sender, parameters), fields::read(parameters, Completion::AsSent))
        })
        .collect();
    preview(services, requests).await
}

/// The request as the log will tell of it.
pub fn inbound(services: &Services, sender: Sender, parameters: &[(String, String)]) -> InboundRecord {
    InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: services.now(),
        door: "csv",
        method: "CSV".into(),
        source_ip: sender.source_ip,
        advertiser_id: Some(sender.advertiser),
        parameters: redact_parameters(parameters),
        manner: Manner::Usual,
        proof: Proof::default(),
    }
}

/// Fills in the click, action and status of the one known conversion that a row is about.
fn complete(parameters: &mut Vec<(String, String)>, known: &[KnownConversion]) -> Result<(), FieldError> {
    let action = value_of(parameters, "action");
    let click = value_of(parameters, "click_id");
    let fits = |known: &&KnownConversion| {
        (action.is_empty() || known.action.eq_ignore_ascii_case(&action))
            // A partner's own click id may be any text; which click it is, the pipeline finds.
            && click.parse::<Uuid>().map_or(true, |click| click == known.click_id)
    };
    let mut candidates = known.iter().filter(fits);
    let (Some(candidate), None) = (candidates.next(), candidates.next()) else {
        let actions: Vec<&str> = known.iter().filter(fits).map(|known| known.action.as_str()).collect();
        if actions.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{} conversions have this request_id, of the actions {}; add a column action",
            actions.len(),
            actions.join(", ")
        );
        return Err(FieldError::new("request_id", "ambiguous_request", message));
    };
    let customer = candidate.customer_id.clone().unwrap_or_default();
    for (name, value) in [
        ("click_id", candidate.click_id.to_string()),
        ("action", candidate.action.clone()),
        ("status", candidate.status.clone()),
        ("customer_id", customer),
    ] {
        if value_of(parameters, name).is_empty() && !value.is_empty() {
            parameters.push((name.into(), value));
        }
    }
    Ok(())
}

/// The value that stands under our name or an alias of it.
fn value_of(parameters: &[(String, String)], ours: &str) -> String {
    let named = parameters.iter().filter(|(name, _)| our_name(name).is_some_and(|(known, _)| known == ours));
    named.map(|(_, value)| value.trim()).find(|value| !value.is_empty()).unwrap_or_default().to_owned()
}

fn names(errors: &[FieldError], error: &FieldError) -> bool {
    errors.iter().any(|known| known.field == error.field)
}

/// PostgreSQL holds no NUL; the row's error names it.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// What a stored row looks like to those who compare two judgements.
pub fn is_same(result: &str, details: &serde_json::Value, judgement: &Judgement) -> bool {
    result == judgement.result.code() && *details == judgement.details
}
