//! `explainPostback`: why a postback is told of an event, or is not; and who is told of an offer.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};

use super::caller::{caller, pool};
use crate::domain::explanation::{self, conclusion};
use crate::domain::ids::{LeadId, PostbackId};
use crate::domain::postback;
use crate::graphql::enums::Event;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::pipeline::services::Services;
use crate::store::catalogue;
use crate::store::explaining::{self, DeliveryState};
use crate::store::secrets::Keyring;
use crate::store::setup::ChangeError;

/// What an offer's postbacks are to the global ones of the same partner, advertiser or platform.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "postback::OfferPostbacks")]
pub enum OfferPostbacks {
    /// Both are told.
    Join,
    /// Whoever has a postback of this offer, or of the link in question, is told by those alone:
    /// its global ones do not hear of this offer, whatever their events, and leave no trace in
    /// the log. Postbacks of the offer and of the link are told side by side.
    Replace,
}

/// What a postback does with an event.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "explanation::Hearing")]
pub enum Hearing {
    /// It is sent.
    Sent,
    /// It is sent once the postback is resumed.
    Waits,
    /// Its condition is not met: the log says why.
    Skipped,
    /// It is none of its business, and leaves no trace.
    NotTold,
}

/// What it hangs on.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "explanation::Concern")]
pub enum Concern {
    /// Whose conversion it is.
    Owner,
    /// The offer or link the postback is for.
    Scope,
    /// Whether the offer's postbacks replace it.
    Replaced,
    /// The events it asks for.
    Events,
    /// Its condition.
    Condition,
    /// Whether it is paused.
    Paused,
}

#[derive(SimpleObject)]
struct PostbackCheck {
    concern: Concern,
    passes: bool,
    message: String,
}

/// What became of the event at its time.
#[derive(SimpleObject)]
struct ExplainedDelivery {
    delivery_id: ID,
    /// `waiting`, `sending`, `delivered`, `failed` or `skipped`.
    state: String,
    /// Why, where it is not delivered.
    reason: String,
    attempts: i32,
}

impl From<DeliveryState> for ExplainedDelivery {
    fn from(state: DeliveryState) -> Self {
        Self {
            delivery_id: state.delivery_id.into(),
            state: state.state,
            reason: state.reason,
            attempts: state.attempts,
        }
    }
}

/// Whether a postback hears of an event, as it is set up now.
#[derive(SimpleObject)]
struct PostbackExplanation {
    hearing: Hearing,
    /// What stands in the way, if anything does.
    message: String,
    /// Whether the conversion has had this event; where not, it is explained as if it had it now.
    happened: bool,
    /// All that it hangs on, in the order it is looked at.
    checks: Vec<PostbackCheck>,
    /// Null where there was none.
    delivery: Option<ExplainedDelivery>,
}

#[derive(Default)]
pub struct ConditionQueries;

#[Object]
impl ConditionQueries {
    /// Why a postback is told of a conversion's event, or is not. Whoever sees both.
    async fn explain_postback(
        &self,
        ctx: &Context<'_>,
        postback_id: ID,
        lead_id: ID,
        event: Event,
    ) -> Result<PostbackExplanation, Failure> {
        let scope = caller(ctx)?.scope();
        let postback = PostbackId(uuid_at("postbackId", &postback_id)?);
        let lead = LeadId(uuid_at("leadId", &lead_id)?);
        let catalogue = match ctx.data_opt::<Arc<Services>>() {
            Some(services) => services.catalogue().clone(),
            None => Arc::new(read_store(catalogue::load(pool(ctx), &Keyring::default())).await?),
        };
        let explaining = explaining::explain(pool(ctx), &catalogue, scope, postback, lead, event.into());
        let explained = read_store(async { explaining.await.map_err(at_argument) }).await?;
        let (hearing, message) = conclusion(&explained.findings);
        let checks = explained.findings.into_iter().map(|finding| PostbackCheck {
            concern: finding.concern.into(),
            passes: finding.passes,
            message: finding.message,
        });
        Ok(PostbackExplanation {
            hearing: hearing.into(),
            message,
            happened: explained.happened,
            checks: checks.collect(),
            delivery: explained.delivery.map(Into::into),
        })
    }
}

/// Queries have their ids as arguments, not in an input.
fn at_argument(error: ChangeError) -> Failure {
    match Failure::from(error) {
        Failure::NotFound { field, message } => {
            Failure::NotFound { field: field.trim_start_matches("input.").to_owned(), message }
        }
        other => other,
    }
}
