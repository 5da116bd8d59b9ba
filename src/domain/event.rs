//! What can happen, as postbacks subscribe to it.

use super::coded::coded_enum;
use super::status::Status;

coded_enum! {
    /// An event a postback can ask for.
    Event {
        Click = "click",
        Lead = "lead",
        Registration = "registration",
        Trial = "trial",
        Sale = "sale",
        Custom = "custom",
        FirstDeposit = "ftd",
        Redeposit = "redeposit",
        Rebill = "rebill",
        Hold = "hold",
        Approve = "approve",
        Reject = "reject",
        Payout = "payout",
        CustomerActivate = "customer_activate",
        CustomerDeactivate = "customer_deactivate",
        /// A destination fails for long, or a delivery to it was given up.
        DestinationFailing = "destination_failing",
        /// One that was warned of answers again.
        DestinationRecovered = "destination_recovered",
        /// A postback was paused, and by nobody's hand.
        DestinationPaused = "destination_paused",
    }
}

impl Event {
    /// Those that a new conversion fires by its kind: see [`kind_event`].
    pub const KIND_EVENTS: &'static [Self] = &[
        Self::Lead,
        Self::Registration,
        Self::Trial,
        Self::Sale,
        Self::Custom,
        Self::FirstDeposit,
        Self::Redeposit,
        Self::Rebill,
    ];

    /// Whether it is about a destination and not about a visitor: only postbacks of the platform
    /// hear of those.
    pub fn is_operational(self) -> bool {
        matches!(self, Self::DestinationFailing | Self::DestinationRecovered | Self::DestinationPaused)
    }
}

coded_enum! {
    /// What an action is: the paid goal's kind.
    ActionKind {
        Lead = "lead",
        Registration = "registration",
        Deposit = "deposit",
        Trial = "trial",
        Sale = "sale",
        Rebill = "rebill",
        Custom = "custom",
    }
}

coded_enum! {
    /// Why a conversion changed.
    Cause {
        /// Somebody reported it.
        Request = "request",
        /// A request was released from quarantine.
        Quarantine = "quarantine",
        /// The owner's hand: not bound by the transitions.
        Owner = "owner",
        /// A request of the inbound log was processed again.
        Reprocess = "reprocess",
        /// A reconciliation.
        Csv = "csv",
    }
}

/// Whether the payer has had a conversion of this sort before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    First,
    Later,
}

/// The event of a new conversion, besides its status.
///
/// `deposits` counts deposits of the click or customer; `renewals` counts leads of a recurring
/// customer, and is `First` for everything that does not recur.
pub fn kind_event(kind: ActionKind, deposits: Occurrence, renewals: Occurrence) -> Event {
    if renewals == Occurrence::Later {
        return Event::Rebill;
    }
    match kind {
        ActionKind::Lead => Event::Lead,
        ActionKind::Registration => Event::Registration,
        ActionKind::Trial => Event::Trial,
        ActionKind::Sale => Event::Sale,
        ActionKind::Custom => Event::Custom,
        ActionKind::Rebill => Event::Rebill,
        ActionKind::Deposit if deposits == Occurrence::First => Event::FirstDeposit,
        ActionKind::Deposit => Event::Redeposit,
    }
}

pub fn status_event(status: Status) -> Event {
    match status {
        Status::Hold => Event::Hold,
        Status::Approved => Event::Approve,
        Status::Rejected => Event::Reject,
    }
}
