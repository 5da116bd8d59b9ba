//! What the partner gets for one conversion.

use rust_decimal::Decimal;

use super::coded::coded_enum;
use super::money::Currency;

coded_enum! {
    PayoutModel {
        Fixed = "fixed",
        Percent = "percent",
        /// Leads of a customer who pays again and again; paid by amount or by share.
        Recurring = "recurring",
    }
}

/// The partner's part of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartnerPayout {
    Amount(Decimal),
    /// Percent of the full price, before the network's commission.
    Percent(Decimal),
}

impl PartnerPayout {
    /// Whether a conversion must name its price.
    pub fn needs_price(self) -> bool {
        matches!(self, Self::Percent(_))
    }

    /// The payout, in `currency`, rounded to what the currency can pay. `None` while a
    /// percentage lacks its price.
    pub fn of(self, price: Option<Decimal>, currency: Currency) -> Option<Decimal> {
        match self {
            Self::Amount(amount) => Some(currency.round(amount)),
            Self::Percent(percent) => {
                Some(currency.round(price?.checked_mul(percent)?.checked_div(Decimal::ONE_HUNDRED)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_of_the_full_price_and_rounded_once() {
        let usd = Currency::parse("USD").unwrap();
        let share = PartnerPayout::Percent("12.5".parse().unwrap());
        assert_eq!(share.of(Some("99.99".parse().unwrap()), usd).unwrap().to_string(), "12.50");
        assert_eq!(share.of(None, usd), None);
        let amount = PartnerPayout::Amount("40".parse().unwrap());
        assert_eq!(amount.of(None, usd).unwrap().to_string(), "40.00");
    }
}
