//! Setting the network up: what it consists of, and the changes of it, one file an entity.
//!
//! ```text
//! mutation ─► may this role do it? (caller) ─► store::setup: one transaction with its audit entry
//!                                                      └─► the node reads its catalogue again
//! ```
//!
//! An id outside the caller's scope is `NOT_FOUND`, as one that nobody has would be; what a role
//! cannot do to anything is `FORBIDDEN`.

mod access;
mod actions;
mod advertisers;
mod api_keys;
mod audit;
mod by_hand;
pub(super) mod caller;
mod composites;
mod conditions;
mod integration_settings;
mod integrations;
mod links;
mod offers;
mod outbound_presets;
mod partners;
mod postback_certificates;
mod postback_request;
mod postback_signing;
mod postback_trial;
mod postbacks;
mod presets;
mod quarantine;
mod sending;
mod settlement;
mod tokens;
mod viewer;
mod words;

use async_graphql::MergedObject;

pub use sending::{PostbackLimits, PostbackRetry};

#[derive(MergedObject, Default)]
pub struct SetupQuery(
    viewer::ViewerQuery,
    advertisers::AdvertiserQueries,
    partners::PartnerQueries,
    offers::OfferQueries,
    links::LinkQueries,
    postbacks::PostbackQueries,
    conditions::ConditionQueries,
    postback_trial::PostbackTrialQuery,
    postback_signing::PostbackSigningQuery,
    api_keys::ApiKeyQueries,
    tokens::TokenQueries,
    access::AccessQuery,
    audit::AuditQuery,
    words::WordQueries,
    integrations::IntegrationQueries,
    presets::PresetQuery,
    outbound_presets::OutboundPresetQueries,
    quarantine::QuarantineQueries,
    settlement::SettlementQuery,
);

#[derive(MergedObject, Default)]
pub struct SetupMutation(
    advertisers::AdvertiserMutations,
    partners::PartnerMutations,
    offers::OfferMutations,
    actions::ActionMutations,
    links::LinkMutations,
    postbacks::PostbackMutations,
    outbound_presets::OutboundPresetMutation,
    postback_certificates::PostbackCertificateMutations,
    postback_trial::PostbackTrialMutation,
    postback_signing::PostbackSigningMutations,
    api_keys::ApiKeyMutations,
    tokens::TokenMutations,
    access::AccessMutations,
    words::WordMutations,
    integrations::IntegrationMutations,
    composites::CompositeMutations,
    quarantine::QuarantineMutations,
    by_hand::ByHandMutations,
    settlement::SettlementMutation,
);
