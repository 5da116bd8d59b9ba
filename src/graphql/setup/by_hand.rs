//! `forceStatus` and `reprocess`: what somebody does to one conversion, or has done again.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::Utc;

use super::caller::{caller, forbidden, owner, writing_pool};
use crate::domain::ids::{InboundId, LeadId};
use crate::domain::note;
use crate::event_log::EventLog;
use crate::graphql::enums::ConversionStatus;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::query::databases;
use crate::graphql::scope::{Grant, Principal};
use crate::pipeline::services::Services;
use crate::store::by_hand::{self, ByHand, ForceError, Forced};
use crate::store::quarantine::MOST_REQUESTS;
use crate::store::reprocessing::{self, ReprocessError};

/// Whoever may decide about requests of an advertiser's: the owner and the advertiser.
pub fn decider(ctx: &Context<'_>) -> Result<Principal, Failure> {
    let caller = caller(ctx)?;
    match caller.grant {
        Grant::Owner | Grant::Advertiser(_) => Ok(caller),
        Grant::Partner(_) | Grant::Bi(_) => Err(forbidden(caller.grant, "an owner or advertiser")),
    }
}

/// A reason or note, which must say something.
pub fn note<'a>(field: &str, text: &'a str) -> Result<&'a str, Failure> {
    note::checked(text).map_err(|message| Failure::bad_input(field, message))
}

/// Ids of requests, each once and in order.
pub fn inbound_ids(field: &str, ids: &[ID]) -> Result<Vec<InboundId>, Failure> {
    if ids.is_empty() || ids.len() > MOST_REQUESTS {
        return Err(Failure::bad_input(
            field,
            format!("{} ids; name 1 to {MOST_REQUESTS} requests", ids.len()),
        ));
    }
    let mut read = Vec::new();
    for id in ids {
        read.push(InboundId(uuid_at(field, id)?));
    }
    read.sort_unstable_by_key(|id| id.0);
    read.dedup();
    Ok(read)
}

#[derive(InputObject)]
struct ForceStatusInput {
    lead_id: ID,
    status: ConversionStatus,
    /// Why; it stays in the conversion's history and the audit log.
    note: String,
}

/// What became of a forced status.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum ForceResult {
    /// The status was changed, and its event fires.
    Changed,
    /// The conversion had this status already; nothing was done.
    Unchanged,
}

#[derive(SimpleObject)]
struct ForcedStatus {
    lead_id: ID,
    result: ForceResult,
    /// The status before.
    previous: ConversionStatus,
    status: ConversionStatus,
}

/// Requests that are now waiting to be processed again.
#[derive(SimpleObject)]
struct Reprocessing {
    /// How many are new; the others were waiting already.
    asked: usize,
}

#[derive(Default)]
pub struct ByHandMutations;

#[Object]
impl ByHandMutations {
    /// Gives a conversion any status, past all rules about transitions, and fires that status's
    /// event. Amount and payout stay. Owners only.
    async fn force_status(
        &self,
        ctx: &Context<'_>,
        input: ForceStatusInput,
    ) -> Result<ForcedStatus, Failure> {
        let owner = owner(ctx)?;
        let lead_id = LeadId(uuid_at("input.leadId", &input.lead_id)?);
        let by = ByHand { actor: owner.into(), note: note("input.note", &input.note)? };
        let status = input.status.into();
        let forcing = by_hand::force_status(writing_pool(ctx), lead_id, status, by, Utc::now());
        let (result, previous) = match read_store(forcing).await? {
            Forced::Changed { from } => (ForceResult::Changed, from),
            Forced::Unchanged => (ForceResult::Unchanged, status),
        };
        Ok(ForcedStatus {
            lead_id: lead_id.0.into(),
            result,
            previous: previous.into(),
            status: input.status,
        })
    }

    /// Has requests of the inbound log processed again, by today's rules as of their own times:
    /// an unknown click may have arrived since. What was recorded the first time makes it a
    /// duplicate. The outcomes are new rows of the inbound log (door `reprocess`), within
    /// seconds. At most 100 at once; where one cannot be, none is. Owners, and the advertiser whose
    /// requests they are.
    async fn reprocess(&self, ctx: &Context<'_>, inbound_ids: Vec<ID>) -> Result<Reprocessing, Failure> {
        let caller = decider(ctx)?;
        let most = reprocessing::MOST_REQUESTS;
        if inbound_ids.len() > most {
            let message = format!("{} ids; name 1 to {most} requests", inbound_ids.len());
            return Err(Failure::bad_input("inboundIds", message));
        }
        let ids = self::inbound_ids("inboundIds", &inbound_ids)?;
        let asking = reprocessing::ask(log(ctx), writing_pool(ctx), caller.scope(), &ids, caller.into());
        Ok(Reprocessing { asked: read_store(asking).await? })
    }
}

fn log<'a>(ctx: &'a Context<'_>) -> &'a EventLog {
    ctx.data_opt::<Arc<Services>>().map_or(&databases(ctx).log, |services| &services.log)
}

impl From<ForceError> for Failure {
    fn from(error: ForceError) -> Self {
        match error {
            ForceError::NotFound => Self::NotFound {
                field: "input.leadId".into(),
                message: "there is no such conversion; take the leadId of one there is".into(),
            },
            ForceError::Store(error) => error.into(),
        }
    }
}

impl From<ReprocessError> for Failure {
    fn from(error: ReprocessError) -> Self {
        let message = error.to_string();
        match error {
            ReprocessError::NotFound(_) => Self::NotFound { field: "inboundIds".into(), message },
            ReprocessError::NobodysRequest(_) | ReprocessError::AlreadyARepeat(..) => {
                Self::bad_input("inboundIds", message)
            }
            ReprocessError::Log(error) => error.into(),
            ReprocessError::Store(error) => error.into(),
        }
    }
}
