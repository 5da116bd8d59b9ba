//! The three statuses, the words for them, and which may follow which.

use serde::{Deserialize, Serialize};

use super::coded::coded_enum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Hold,
    Approved,
    Rejected,
}

/// The words that mean a status wherever they come from. Numbers are never here: `2` is
/// "pending" at one network and "approved" at another.
const WORDS: [(Status, &[&str]); 3] = [
    (Status::Hold, &["hold", "shipped", "processing", "accepted", "waiting", "open", "new", "pending"]),
    (Status::Approved, &["approved", "confirmed", "confirm", "paid", "completed", "sold", "delivered"]),
    (
        Status::Rejected,
        &[
            "rejected",
            "returned",
            "canceled",
            "cancelled",
            "archived",
            "refunded",
            "cancel",
            "archive",
            "refund",
            "spam",
            "error",
            "wrong",
            "test",
            "declined",
        ],
    ),
];

impl Status {
    pub const ALL: [Self; 3] = [Self::Hold, Self::Approved, Self::Rejected];

    pub fn code(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// Reads the code that [`Status::code`] writes.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// The words of the default table that mean this status, itself first. The table in
    /// `docs/conversions.md` is tested against it.
    pub fn words(self) -> &'static [&'static str] {
        WORDS.iter().find(|(status, _)| *status == self).map_or(&[], |(_, words)| words)
    }

    /// Reads a status word of the default table; case and surrounding blanks do not count.
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.trim().to_lowercase();
        WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(status, _)| *status)
    }

    /// Whether a conversion may go from `self` to `next`.
    pub fn may_become(self, next: Self, refunds: Refunds) -> bool {
        match (self, next) {
            (Self::Hold, Self::Approved | Self::Rejected) => true,
            (Self::Approved, Self::Rejected) => refunds == Refunds::Allowed,
            _ => false,
        }
    }
}

/// Whether an offer lets an approved conversion be rejected (refund, chargeback).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refunds {
    Allowed,
    Refused,
}

coded_enum! {
    /// What somebody can say a word means.
    Meaning {
        Hold = "hold",
        Approved = "approved",
        Rejected = "rejected",
        /// A recurring customer is added.
        Activate = "activate",
        /// A recurring customer is stopped.
        Deactivate = "deactivate",
        /// Taken and logged; nothing else comes of it.
        Ignore = "ignore",
    }
}

/// What a caller's status word asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusWord {
    Conversion(Status),
    CustomerActivate,
    CustomerDeactivate,
    Ignored,
    Unknown,
}

impl From<Meaning> for StatusWord {
    fn from(meaning: Meaning) -> Self {
        match meaning {
            Meaning::Hold => Self::Conversion(Status::Hold),
            Meaning::Approved => Self::Conversion(Status::Approved),
            Meaning::Rejected => Self::Conversion(Status::Rejected),
            Meaning::Activate => Self::CustomerActivate,
            Meaning::Deactivate => Self::CustomerDeactivate,
            Meaning::Ignore => Self::Ignored,
        }
    }
}

impl StatusWord {
    pub fn concerns_customer(self) -> bool {
        matches!(self, Self::CustomerActivate | Self::CustomerDeactivate)
    }

    pub fn read(word: &str) -> Self {
        match word.trim().to_lowercase().as_str() {
            "activate" => Self::CustomerActivate,
            "deactivate" => Self::CustomerDeactivate,
            word => Status::from_word(word).map_or(Self::Unknown, Self::Conversion),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_contract_is_known() {
        for (status, words) in [
            (Status::Hold, "hold, shipped, processing, accepted, waiting, open, new, pending"),
            (Status::Approved, "approved, confirmed, confirm, paid, completed, sold, delivered"),
            (
                Status::Rejected,
                "rejected, returned, canceled, cancelled, archived, refunded, cancel, archive, refund, \
                 spam, error, wrong, test, declined",
            ),
        ] {
            for word in words.split(", ") {
                assert_eq!(Status::from_word(word), Some(status), "{word}");
                assert_eq!(Status::from_word(&format!(" {} ", word.to_uppercase())), Some(status), "{word}");
            }
        }
    }

    #[test]
    fn numbers_and_strange_words_are_unknown() {
        for word in ["", "1", "2", "approve d", "lead", "одобрено"] {
            assert_eq!(StatusWord::read(word), StatusWord::Unknown, "{word:?}");
        }
    }

    #[test]
    fn only_three_transitions_exist() {
        let allowed: Vec<_> = Status::ALL
            .into_iter()
            .flat_map(|from| Status::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to, Refunds::Allowed))
            .collect();
        assert_eq!(
            allowed,
            [
                (Status::Hold, Status::Approved),
                (Status::Hold, Status::Rejected),
                (Status::Approved, Status::Rejected)
            ]
        );
        assert!(!Status::Approved.may_become(Status::Rejected, Refunds::Refused));
    }
}
