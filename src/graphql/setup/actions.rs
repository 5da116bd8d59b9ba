//! Actions: the paid goals of an offer.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use rust_decimal::Decimal;

use super::caller::{change, owner, pool};
use crate::domain::ids::{ActionId, OfferId};
use crate::graphql::enums::{ActionKind, PayoutModel};
use crate::graphql::failure::Failure;
use crate::graphql::filter::uuid_at;
use crate::graphql::scalars::Amount;
use crate::graphql::scope::Scope;
use crate::store::setup::actions::{self, ActionChange, ActionRecord, ActionTerms};

/// One paid goal of an offer.
#[derive(SimpleObject)]
pub struct Action {
    action_id: ID,
    /// What advertisers report it by.
    name: String,
    kind: ActionKind,
    payout_model: PayoutModel,
    /// What the advertiser pays: an amount, or percent of the price where the payout is a share.
    /// Null for partners.
    advertiser_rate: Option<Decimal>,
    /// The network's share of the advertiser's rate. Null for advertisers and partners.
    commission_percent: Option<Decimal>,
    /// What a partner gets, in `currency`; null where it gets a share. Null for advertisers.
    payout_amount: Option<Decimal>,
    /// The partner's share of the price; null where it gets an amount. Null for advertisers.
    payout_percent: Option<Decimal>,
    /// ISO 4217.
    currency: String,
    /// Whether one click can have it more than once.
    is_repeatable: bool,
    /// Whether a conversion that names no action is of this one.
    is_default: bool,
    /// Days until a conversion should be decided on.
    hold_days: i32,
}

impl Action {
    /// As `scope` sees it: what the network earns is its own business.
    pub fn seen_by(scope: Scope, record: ActionRecord) -> Self {
        let (sees_rate, sees_commission) = match scope {
            Scope::Everything => (true, true),
            Scope::Advertiser(_) => (true, false),
            Scope::Partner(_) => (false, false),
        };
        Self {
            action_id: record.action_id.into(),
            name: record.name,
            kind: record.kind.into(),
            payout_model: record.payout_model.into(),
            advertiser_rate: sees_rate.then_some(record.advertiser_rate),
            commission_percent: sees_commission.then_some(record.commission_percent),
            payout_amount: record.payout_amount.filter(|_| scope.sees_payouts()),
            payout_percent: record.payout_percent.filter(|_| scope.sees_payouts()),
            currency: record.currency,
            is_repeatable: record.is_repeatable,
            is_default: record.is_default,
            hold_days: record.hold_days,
        }
    }
}

#[derive(InputObject)]
struct CreateActionInput {
    offer_id: ID,
    /// What advertisers report it by; case does not count.
    name: String,
    kind: ActionKind,
    payout_model: PayoutModel,
    /// What the advertiser pays: an amount, or percent where the payout is a share.
    advertiser_rate: Amount,
    /// The network's share of the advertiser's rate, 0 to 100; 0 where it is not given.
    commission_percent: Option<Amount>,
    /// For FIXED, and for RECURRING that pays an amount.
    payout_amount: Option<Amount>,
    /// For PERCENT, and for RECURRING that pays a share: 0 to 100.
    payout_percent: Option<Amount>,
    /// ISO 4217, such as USD.
    currency: String,
    /// Whether one click can have it more than once; false where it is not given.
    is_repeatable: Option<bool>,
    /// Whether a conversion that names no action is of this one; takes the mark from any other.
    is_default: Option<bool>,
    /// 0 where it is not given.
    hold_days: Option<i32>,
}

/// What is left out stays as it is. The kind and the payout model stay in any case: make another
/// action instead.
#[derive(InputObject)]
struct UpdateActionInput {
    action_id: ID,
    name: Option<String>,
    advertiser_rate: Option<Amount>,
    commission_percent: Option<Amount>,
    payout_amount: Option<Amount>,
    payout_percent: Option<Amount>,
    currency: Option<String>,
    is_repeatable: Option<bool>,
    /// Whether a conversion that names no action is of this one; true takes the mark from any other.
    is_default: Option<bool>,
    hold_days: Option<i32>,
}

fn optional(field: &str, amount: Option<&Amount>) -> Result<Option<Decimal>, Failure> {
    amount.map(|amount| amount.read(field)).transpose()
}

#[derive(Default)]
pub struct ActionMutations;

#[Object]
impl ActionMutations {
    /// Adds a paid goal to an offer. Owners only.
    async fn create_action(&self, ctx: &Context<'_>, input: CreateActionInput) -> Result<Action, Failure> {
        let actor = owner(ctx)?.into();
        let offer = OfferId(uuid_at("input.offerId", &input.offer_id)?);
        let commission = optional("input.commissionPercent", input.commission_percent.as_ref())?;
        let terms = ActionTerms {
            name: input.name,
            kind: input.kind.into(),
            payout_model: input.payout_model.into(),
            advertiser_rate: input.advertiser_rate.read("input.advertiserRate")?,
            commission_percent: commission.unwrap_or_default(),
            payout_amount: optional("input.payoutAmount", input.payout_amount.as_ref())?,
            payout_percent: optional("input.payoutPercent", input.payout_percent.as_ref())?,
            currency: input.currency,
            is_repeatable: input.is_repeatable.unwrap_or(false),
            is_default: input.is_default.unwrap_or(false),
            hold_days: input.hold_days.unwrap_or(0),
        };
        let record = change(ctx, actions::create(pool(ctx), actor, offer, &terms)).await?;
        Ok(Action::seen_by(Scope::Everything, record))
    }

    /// Changes the terms of an action for conversions from now on. Owners only.
    async fn update_action(&self, ctx: &Context<'_>, input: UpdateActionInput) -> Result<Action, Failure> {
        let actor = owner(ctx)?.into();
        let id = ActionId(uuid_at("input.actionId", &input.action_id)?);
        let terms = ActionChange {
            name: input.name,
            advertiser_rate: optional("input.advertiserRate", input.advertiser_rate.as_ref())?,
            commission_percent: optional("input.commissionPercent", input.commission_percent.as_ref())?,
            payout_amount: optional("input.payoutAmount", input.payout_amount.as_ref())?,
            payout_percent: optional("input.payoutPercent", input.payout_percent.as_ref())?,
            currency: input.currency,
            is_repeatable: input.is_repeatable,
            is_default: input.is_default,
            hold_days: input.hold_days,
        };
        let record = change(ctx, actions::update(pool(ctx), actor, id, terms)).await?;
        Ok(Action::seen_by(Scope::Everything, record))
    }
}
