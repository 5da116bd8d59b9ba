//! Actions: the paid goals of an offer, and which terms fit which payout model.

use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ChangeError, name};
use crate::domain::event::ActionKind;
use crate::domain::ids::{ActionId, OfferId};
use crate::domain::money::Currency;
use crate::domain::payout::{PartnerPayout, PayoutModel};
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::network::{self, NewAction};

#[derive(Debug, Clone, Serialize)]
pub struct ActionRecord {
    pub action_id: Uuid,
    pub offer_id: Uuid,
    pub name: String,
    pub kind: ActionKind,
    pub payout_model: PayoutModel,
    pub advertiser_rate: Decimal,
    pub commission_percent: Decimal,
    pub payout_amount: Option<Decimal>,
    pub payout_percent: Option<Decimal>,
    pub currency: String,
    pub is_repeatable: bool,
    /// A conversion that names no action is of this one; at most one action of an offer is.
    pub is_default: bool,
    pub hold_days: i32,
}

/// What an action is to be.
#[derive(Debug, Clone)]
pub struct ActionTerms {
    pub name: String,
    pub kind: ActionKind,
    pub payout_model: PayoutModel,
    pub advertiser_rate: Decimal,
    pub commission_percent: Decimal,
    pub payout_amount: Option<Decimal>,
    pub payout_percent: Option<Decimal>,
    pub currency: String,
    pub is_repeatable: bool,
    /// A conversion that names no action is of this one; at most one action of an offer is.
    pub is_default: bool,
    pub hold_days: i32,
}

/// What to change of an action; `None` leaves it. The kind and the payout model stay: the
/// conversions there are were counted by them.
#[derive(Debug, Clone, Default)]
pub struct ActionChange {
    pub name: Option<String>,
    pub advertiser_rate: Option<Decimal>,
    pub commission_percent: Option<Decimal>,
    pub payout_amount: Option<Decimal>,
    pub payout_percent: Option<Decimal>,
    pub currency: Option<String>,
    pub is_repeatable: Option<bool>,
    pub is_default: Option<bool>,
    pub hold_days: Option<i32>,
}

/// Holds longer than this are a slip of the pen.
const MAX_HOLD_DAYS: i32 = 3_650;

impl ActionTerms {
    fn check(&self) -> Result<NewAction<'_>, ChangeError> {
        let payout = self.payout()?;
        amount("advertiser_rate", self.advertiser_rate)?;
        if matches!(payout, PartnerPayout::Percent(_)) && self.advertiser_rate > Decimal::ONE_HUNDRED {
            let message = "the action pays a share, so the rate is in percent too; write 0 to 100";
            return Err(ChangeError::bad("advertiser_rate", message));
        }
        percent("commission_percent", self.commission_percent)?;
        let currency = Currency::parse(&self.currency).ok_or_else(|| {
            ChangeError::bad("currency", "write a three-letter ISO 4217 code such as USD or EUR")
        })?;
        if !(0..=MAX_HOLD_DAYS).contains(&self.hold_days) {
            return Err(ChangeError::bad("hold_days", format!("write 0 to {MAX_HOLD_DAYS} days")));
        }
        Ok(NewAction {
            name: name("name", &self.name)?,
            kind: self.kind,
            payout_model: self.payout_model,
            advertiser_rate: self.advertiser_rate,
            commission_percent: self.commission_percent,
            payout,
            currency,
            repeatable: self.is_repeatable,
        })
    }

    fn payout(&self) -> Result<PartnerPayout, ChangeError> {
        match (self.payout_model, self.payout_amount, self.payout_percent) {
            (PayoutModel::Fixed, _, Some(_)) => Err(ChangeError::bad(
                "payout_percent",
                "a fixed action pays an amount; leave this out and write the payout amount, or choose percent",
            )),
            (PayoutModel::Percent, Some(_), _) => Err(ChangeError::bad(
                "payout_amount",
                "a percent action pays a share; leave this out and write the payout percent, or choose fixed",
            )),
            (PayoutModel::Fixed, None, None) => {
                Err(ChangeError::bad("payout_amount", "write what a partner gets for one conversion"))
            }
            (PayoutModel::Percent, None, None) => {
                Err(ChangeError::bad("payout_percent", "write the partner's share of the price, 0 to 100"))
            }
            (PayoutModel::Recurring, Some(_), Some(_)) => Err(ChangeError::bad(
                "payout_percent",
                "a recurring action pays either an amount or a share; leave one of the two out",
            )),
            (PayoutModel::Recurring, None, None) => Err(ChangeError::bad(
                "payout_amount",
                "write the payout amount or the payout percent: what a partner gets for each payment",
            )),
            (_, Some(payout), None) => {
                amount("payout_amount", payout)?;
                Ok(PartnerPayout::Amount(payout))
            }
            (_, None, Some(share)) => {
                percent("payout_percent", share)?;
                Ok(PartnerPayout::Percent(share))
            }
        }
    }
}

fn amount(field: &'static str, amount: Decimal) -> Result<(), ChangeError> {
    let most = Decimal::from(10u64.pow(15));
    if amount.is_sign_negative() && !amount.is_zero() || amount >= most || amount.normalize().scale() > 6 {
        let message = "write 0 or more, with at most 15 digits before the point and 6 after it";
        return Err(ChangeError::bad(field, message));
    }
    Ok(())
}

fn percent(field: &'static str, share: Decimal) -> Result<(), ChangeError> {
    amount(field, share)?;
    if share > Decimal::ONE_HUNDRED {
        return Err(ChangeError::bad(field, "write a percentage from 0 to 100"));
    }
    Ok(())
}

pub async fn create(
    pool: &Pool,
    actor: Actor,
    offer: OfferId,
    terms: &ActionTerms,
) -> Result<ActionRecord, ChangeError> {
    let action = terms.check()?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    // The lock keeps two actions of one name apart.
    if audit::snapshot(&transaction, Entity::Offer, offer.0).await?.is_none() {
        return Err(ChangeError::NotFound { field: "offer_id", what: "offer" });
    }
    refuse_taken_name(&transaction, offer.0, None, action.name).await?;
    let id = network::add_action(&transaction, offer, &action).await?;
    if terms.is_default {
        unmark_default(&transaction, offer.0).await?;
    }
    write(&transaction, id, terms, &action).await?;
    audit::record(&transaction, actor, Entity::Action, id.0, "create", None).await?;
    let row = transaction.query_one("SELECT * FROM actions WHERE action_id = $1", &[&id.0]).await?;
    transaction.commit().await?;
    Ok(read(&row)?)
}

pub async fn update(
    pool: &Pool,
    actor: Actor,
    id: ActionId,
    change: ActionChange,
) -> Result<ActionRecord, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Action, id.0).await?;
    let row = transaction.query_opt("SELECT * FROM actions WHERE action_id = $1", &[&id.0]).await?;
    let Some(row) = row else { return Err(ChangeError::NotFound { field: "action_id", what: "action" }) };
    let known = read(&row)?;
    // A new payout replaces the old one, whichever of the two it is.
    let new_payout = change.payout_amount.is_some() || change.payout_percent.is_some();
    let (old_amount, old_percent) =
        if new_payout { (None, None) } else { (known.payout_amount, known.payout_percent) };
    let terms = ActionTerms {
        name: change.name.unwrap_or(known.name),
        kind: known.kind,
        payout_model: known.payout_model,
        advertiser_rate: change.advertiser_rate.unwrap_or(known.advertiser_rate),
        commission_percent: change.commission_percent.unwrap_or(known.commission_percent),
        payout_amount: change.payout_amount.or(old_amount),
        payout_percent: change.payout_percent.or(old_percent),
        currency: change.currency.unwrap_or(known.currency),
        is_repeatable: change.is_repeatable.unwrap_or(known.is_repeatable),
        is_default: change.is_default.unwrap_or(known.is_default),
        hold_days: change.hold_days.unwrap_or(known.hold_days),
    };
    let action = terms.check()?;
    refuse_taken_name(&transaction, known.offer_id, Some(id.0), action.name).await?;
    if terms.is_default && !known.is_default {
        unmark_default(&transaction, known.offer_id).await?;
    }
    write(&transaction, id, &terms, &action).await?;
    audit::record(&transaction, actor, Entity::Action, id.0, "update", before).await?;
    let row = transaction.query_one("SELECT * FROM actions WHERE action_id = $1", &[&id.0]).await?;
    transaction.commit().await?;
    Ok(read(&row)?)
}

/// All terms of an action, which [`ActionTerms::check`] has found to fit.
async fn write(
    transaction: &deadpool_postgres::Transaction<'_>,
    id: ActionId,
    terms: &ActionTerms,
    action: &NewAction<'_>,
) -> Result<(), ChangeError> {
    transaction
        .execute(
            "UPDATE actions SET name = $2, advertiser_rate = $3, commission_percent = $4, payout_amount = $5,
                                payout_percent = $6, currency = $7, is_repeatable = $8, hold_days = $9,
                                is_default = $10
             WHERE action_id = $1",
            &[
                &id.0,
                &action.name,
                &terms.advertiser_rate,
                &terms.commission_percent,
                &terms.payout_amount,
                &terms.payout_percent,
                &action.currency.code(),
                &terms.is_repeatable,
                &terms.hold_days,
                &terms.is_default,
            ],
        )
        .await?;
    Ok(())
}

async fn unmark_default(
    transaction: &deadpool_postgres::Transaction<'_>,
    offer: Uuid,
) -> Result<(), ChangeError> {
    let unmark = "UPDATE actions SET is_default = false WHERE offer_id = $1 AND is_default";
    transaction.execute(unmark, &[&offer]).await?;
    Ok(())
}

async fn refuse_taken_name(
    transaction: &deadpool_postgres::Transaction<'_>,
    offer: Uuid,
    itself: Option<Uuid>,
    wanted: &str,
) -> Result<(), ChangeError> {
    let taken = "SELECT 1 FROM actions WHERE offer_id = $1 AND lower(name) = lower($2) \
                 AND action_id IS DISTINCT FROM $3";
    match transaction.query_opt(taken, &[&offer, &wanted, &itself]).await? {
        Some(_) => Err(ChangeError::bad(
            "name",
            format!("the offer has an action {wanted:?}; names differ by more than case"),
        )),
        None => Ok(()),
    }
}

pub(super) fn read(row: &Row) -> Result<ActionRecord, StoreError> {
    let (kind, model): (&str, &str) = (row.try_get("kind")?, row.try_get("payout_model")?);
    let unreadable = |column: &str, value: &str| StoreError::Unreadable(format!("actions.{column}: {value}"));
    Ok(ActionRecord {
        action_id: row.try_get("action_id")?,
        offer_id: row.try_get("offer_id")?,
        name: row.try_get("name")?,
        kind: ActionKind::from_code(kind).ok_or_else(|| unreadable("kind", kind))?,
        payout_model: PayoutModel::from_code(model).ok_or_else(|| unreadable("payout_model", model))?,
        advertiser_rate: row.try_get("advertiser_rate")?,
        commission_percent: row.try_get("commission_percent")?,
        payout_amount: row.try_get("payout_amount")?,
        payout_percent: row.try_get("payout_percent")?,
        currency: row.try_get("currency")?,
        is_repeatable: row.try_get("is_repeatable")?,
        is_default: row.try_get("is_default")?,
        hold_days: row.try_get("hold_days")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(model: PayoutModel, amount: Option<i64>, percent: Option<i64>) -> ActionTerms {
        ActionTerms {
            name: "sale".into(),
            kind: ActionKind::Sale,
            payout_model: model,
            advertiser_rate: Decimal::from(30),
            commission_percent: Decimal::ZERO,
            payout_amount: amount.map(Decimal::from),
            payout_percent: percent.map(Decimal::from),
            currency: "USD".into(),
            is_repeatable: true,
            is_default: false,
            hold_days: 0,
        }
    }

    fn wrong_field(terms: &ActionTerms) -> Option<&'static str> {
        match terms.check() {
            Ok(_) => None,
            Err(ChangeError::BadValue { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_payout_fits_its_model_or_the_field_is_named() {
        use PayoutModel::{Fixed, Percent, Recurring};
        for (model, amount, percent, expected) in [
            (Fixed, Some(10), None, None),
            (Fixed, None, Some(10), Some("payout_percent")),
            (Fixed, None, None, Some("payout_amount")),
            (Fixed, Some(-1), None, Some("payout_amount")),
            (Percent, None, Some(25), None),
            (Percent, Some(25), None, Some("payout_amount")),
            (Percent, None, Some(101), Some("payout_percent")),
            (Percent, None, None, Some("payout_percent")),
            (Recurring, Some(10), None, None),
            (Recurring, None, Some(10), None),
            (Recurring, Some(10), Some(10), Some("payout_percent")),
            (Recurring, None, None, Some("payout_amount")),
        ] {
            assert_eq!(
                wrong_field(&terms(model, amount, percent)),
                expected,
                "{model:?} {amount:?} {percent:?}"
            );
        }
    }

    #[test]
    fn the_other_terms_name_their_field_too() {
        let good = terms(PayoutModel::Percent, None, Some(10));
        let wrong = [
            ("currency", ActionTerms { currency: "dollars".into(), ..good.clone() }),
            ("commission_percent", ActionTerms { commission_percent: Decimal::from(200), ..good.clone() }),
            ("advertiser_rate", ActionTerms { advertiser_rate: Decimal::from(101), ..good.clone() }),
            ("advertiser_rate", ActionTerms { advertiser_rate: Decimal::new(1, 7), ..good.clone() }),
            ("hold_days", ActionTerms { hold_days: -1, ..good.clone() }),
            ("name", ActionTerms { name: " ".into(), ..good.clone() }),
        ];
        for (field, terms) in wrong {
            assert_eq!(wrong_field(&terms), Some(field), "{terms:?}");
        }
    }
}
