//! The history of a conversion: every change, and what caused it.

use async_graphql::{Enum, ID, SimpleObject};
use rust_decimal::Decimal;

use super::filled;
use crate::domain::event;
use crate::domain::money::Currency;
use crate::graphql::enums::{ConversionStatus, Event};
use crate::graphql::scalars::Time;
use crate::graphql::scope::Scope;
use crate::store::conversion_history::ChangeRecord;

/// What caused a change.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Cause")]
pub enum ChangeCause {
    /// The advertiser reported it.
    Request,
    /// A request was released from quarantine.
    Quarantine,
    /// The network's own hand: a status forced, or a settlement.
    Owner,
    /// A request of the inbound log was processed again.
    Reprocess,
    /// A reconciliation.
    Csv,
}

/// A change of a conversion.
#[derive(SimpleObject, Clone)]
pub struct ConversionChange {
    change_id: ID,
    recorded_at: Time,
    /// When it happened by the word of whoever reported it.
    occurred_at: Time,
    /// Null for the change that made the conversion.
    status_from: Option<ConversionStatus>,
    /// The same as `statusFrom` where the status stayed, as in a settlement.
    status: Option<ConversionStatus>,
    /// What it fired.
    events: Vec<Event>,
    cause: ChangeCause,
    /// Who did it by hand: a role, and the id of a token. Null for requests, and for all but owners and
    /// the network's own readers.
    actor: Option<String>,
    /// What they said to it; null where `actor` is.
    note: Option<String>,
    /// Full price as it then stood, in `currency`; null where none was.
    amount: Option<Decimal>,
    /// ISO 4217.
    currency: Option<&'static str>,
    /// What the partner got by then, in `payoutCurrency`. Null for advertisers.
    payout: Option<Decimal>,
    /// ISO 4217. Null for advertisers.
    payout_currency: Option<&'static str>,
    comment: Option<String>,
}

impl ConversionChange {
    /// As `scope` sees it.
    pub fn seen_by(scope: Scope, record: ChangeRecord) -> Self {
        let (sees_payout, sees_hands) = (scope.sees_payouts(), scope.sees_hands());
        Self {
            change_id: record.change_id.into(),
            recorded_at: record.recorded_at.into(),
            occurred_at: record.occurred_at.into(),
            status_from: record.status_from.map(ConversionStatus::from),
            status: record.status_to.map(ConversionStatus::from),
            events: record.events.into_iter().map(Event::from).collect(),
            cause: record.cause.into(),
            actor: filled(record.actor).filter(|_| sees_hands),
            note: filled(record.note).filter(|_| sees_hands),
            amount: record.amount,
            currency: record.currency.map(Currency::code),
            payout: record.payout.filter(|_| sees_payout),
            payout_currency: record.payout_currency.filter(|_| sees_payout).map(Currency::code),
            comment: filled(record.comment),
        }
    }
}
