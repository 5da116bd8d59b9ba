//! Setting a preset up: all its postbacks and its integration, or nothing.

use deadpool_postgres::{Pool, Transaction};
use uuid::Uuid;

use super::postback_checks::checked;
use super::postback_reach::{check_link, check_owner_and_scope, check_reach};
use super::postback_twins::{self, Twins};
use super::postbacks::{MAX_IN_FLIGHT, PostbackChange, TIMEOUT_MS, set_condition};
use super::{ChangeError, integrations};
use crate::domain::address_policy::Policy;
use crate::domain::ids::{AdvertiserId, IntegrationId, LinkId, OfferId};
use crate::domain::postback::{Owner, Scope};
use crate::domain::request_settings::Fault;
use crate::graphql::scope::Scope as Sight;
use crate::presets::InboundPreset;
use crate::presets::outbound::PlannedPostback;
use crate::store::audit::{self, Actor, Entity};
use crate::store::network::{self, NewPostback};
use crate::store::request_settings;

/// Whether what a preset comes to is only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Everything is tried, and nothing stays.
    Dry,
    Real,
}

/// What a preset comes to.
#[derive(Debug)]
pub struct Setup<'a> {
    pub owner: Owner,
    pub scope: Scope,
    /// The preset's system.
    pub system: &'a str,
    pub postbacks: &'a [PlannedPostback],
    pub twins: Twins,
    /// The link the registration link is made of.
    pub link: Option<LinkId>,
    pub integration: Option<PlannedIntegration>,
}

/// The half of a preset that reports to us.
#[derive(Debug, Clone, Copy)]
pub struct PlannedIntegration {
    pub preset: &'static InboundPreset,
    /// Whose it is to be; where nobody says, the advertiser the rest is about.
    pub advertiser: Option<AdvertiserId>,
}

/// What was made, or tried.
#[derive(Debug, PartialEq, Eq)]
pub struct Made {
    /// In the order of the plan.
    pub postbacks: Vec<Uuid>,
    pub integration: Option<IntegrationId>,
}

/// Makes the postbacks and the integration in one transaction. `reach` is of whoever makes them.
pub async fn set_up(
    pool: &Pool,
    actor: Actor,
    reach: Sight,
    setup: &Setup<'_>,
    policy: &Policy,
    run: Run,
) -> Result<Made, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    check_owner_and_scope(&transaction, setup.owner, setup.scope).await?;
    check_reach(&transaction, reach, setup.owner, setup.scope).await?;
    check_link(&transaction, reach, setup.link).await?;
    let mut postbacks = Vec::with_capacity(setup.postbacks.len());
    for postback in setup.postbacks {
        postbacks.push(add_postback(&transaction, actor, reach, setup, postback, policy).await?);
    }
    let integration = match &setup.integration {
        Some(planned) => Some(add_integration(&transaction, actor, setup, planned).await?),
        None => None,
    };
    match run {
        Run::Dry => transaction.rollback().await?,
        Run::Real => transaction.commit().await?,
    }
    Ok(Made { postbacks, integration })
}

async fn add_postback(
    transaction: &Transaction<'_>,
    actor: Actor,
    reach: Sight,
    setup: &Setup<'_>,
    postback: &PlannedPostback,
    policy: &Policy,
) -> Result<Uuid, ChangeError> {
    let settings = PostbackChange {
        events: Some(postback.events.clone()),
        condition: postback.condition.clone(),
        ..PostbackChange::default()
    };
    let checked = checked(&settings, postback.request.clone(), policy, reach, setup.owner);
    let (request, _) = checked.map_err(|error| of_values(error, postback))?;
    let new = NewPostback {
        owner: setup.owner,
        scope: setup.scope,
        events: &postback.events,
        url_template: &request.url_template,
        retry_schedule_ms: None,
        timeout_ms: TIMEOUT_MS,
        max_in_flight: MAX_IN_FLIGHT,
    };
    let id = network::add_postback(transaction, &new).await?;
    request_settings::write(transaction, id, &request).await?;
    set_condition(transaction, id, postback.condition.as_deref()).await?;
    let set = "UPDATE postbacks SET name = $2, preset = $3 WHERE postback_id = $1";
    transaction
        .execute(set, &[&id.0, &format!("{}: {}", setup.system, postback.name), &setup.system])
        .await?;
    postback_twins::refuse(transaction, id, setup.twins).await?;
    audit::record(transaction, actor, Entity::Postback, id.0, "create", None).await?;
    Ok(id.0)
}

/// Whoever sets a preset up has written its values, and nothing else of its postbacks.
fn of_values(error: ChangeError, postback: &PlannedPostback) -> ChangeError {
    let ChangeError::BadValues(faults) = error else { return error };
    let of_values = |fault: Fault| match fault.field.as_str() {
        "url_template" | "body_template" => {
            Fault::new("values", format!("in the postback {}: {}", postback.name, fault.message))
        }
        header if header.starts_with("headers") => {
            Fault::new("values", format!("in the postback {}: {}", postback.name, fault.message))
        }
        _ => fault,
    };
    ChangeError::BadValues(faults.into_iter().map(of_values).collect())
}

async fn add_integration(
    transaction: &Transaction<'_>,
    actor: Actor,
    setup: &Setup<'_>,
    planned: &PlannedIntegration,
) -> Result<IntegrationId, ChangeError> {
    let advertiser = advertiser_of(transaction, setup, planned).await?;
    let offer = match setup.scope {
        Scope::Offer(offer) => Some(offer),
        Scope::Global | Scope::Link(_) => None,
    };
    let settings = planned.preset.settings(&planned.preset.system, offer);
    let (sight, words) = (Sight::Everything, &planned.preset.words);
    integrations::create_within(transaction, actor, sight, advertiser, &settings, words).await
}

/// The advertiser that is named, or else that of the postbacks, of the offer or of the link.
async fn advertiser_of(
    transaction: &Transaction<'_>,
    setup: &Setup<'_>,
    planned: &PlannedIntegration,
) -> Result<AdvertiserId, ChangeError> {
    const OF_OFFER: &str = "SELECT advertiser_id FROM offers WHERE offer_id = $1";
    const OF_LINK: &str = "SELECT advertiser_id FROM links JOIN offers USING (offer_id) WHERE link_id = $1";
    let (query, id) = match (planned.advertiser, setup.owner, setup.scope, setup.link) {
        (Some(id), ..) | (None, Owner::Advertiser(id), ..) => return Ok(id),
        (None, _, Scope::Offer(OfferId(id)), _) => (OF_OFFER, id),
        (None, _, Scope::Link(LinkId(id)), _) | (None, _, Scope::Global, Some(LinkId(id))) => (OF_LINK, id),
        (None, _, Scope::Global, None) => {
            let message = format!(
                "{} reports to us, for an advertiser: name one, or an offer or link of its",
                planned.preset.system
            );
            return Err(ChangeError::bad("integration_advertiser_id", message));
        }
    };
    let row = transaction.query_opt(query, &[&id]).await?;
    let not_found = ChangeError::NotFound { field: "registration_link_id", what: "link" };
    row.map(|row| AdvertiserId(row.get(0))).ok_or(not_found)
}
