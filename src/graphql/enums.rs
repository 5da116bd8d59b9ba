//! The enums of the domain as GraphQL names them: the code, in capitals.

use async_graphql::Enum;

use crate::domain::destination::breaker;
use crate::domain::{device, event, payout, retry, status, time_bucket, verdict};
use crate::event_log::reader::stats;
use crate::store::audit;

/// What a conversion is worth now.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "status::Status")]
pub enum ConversionStatus {
    /// Reported, and not decided on.
    Hold,
    Approved,
    /// Refused, refunded or charged back.
    Rejected,
}

/// What a status word can mean.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "status::Meaning")]
pub enum Meaning {
    Hold,
    Approved,
    Rejected,
    /// A recurring customer is added.
    Activate,
    /// A recurring customer is stopped.
    Deactivate,
    /// Taken and logged; nothing else comes of it.
    Ignore,
}

/// What one attempt of a delivery came to.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "retry::Outcome")]
pub enum Outcome {
    Delivered,
    /// It failed, and another attempt is due.
    Retrying,
    /// It failed, and there will be no other attempt.
    Failed,
    /// It was not fit to send; the reason says why.
    Skipped,
}

/// What went wrong on the way.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "retry::ErrorKind")]
pub enum ErrorKind {
    None,
    Dns,
    Connect,
    Tls,
    Timeout,
    /// The connection broke before a whole answer was there.
    Reset,
    /// The destination answered with a code that is no success.
    Status,
    /// The destination answered with a redirect, which is not followed.
    Redirect,
    /// The destination answered success, and its body broke a success rule of the postback.
    Refused,
    /// The server stopped during the attempt; the request may have been sent.
    Interrupted,
    /// The address may not be called; nothing was sent.
    Blocked,
    Internal,
    /// Nothing was sent: the postback's condition was not met.
    Condition,
}

/// What the breaker of a destination is doing.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "breaker::State")]
pub enum BreakerState {
    /// Requests go.
    Closed,
    /// It keeps failing: deliveries wait.
    Open,
    /// One delivery is sent to find out whether it is well again.
    HalfOpen,
}

/// What became of one inbound request.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "verdict::VerdictKind")]
pub enum Verdict {
    Accepted,
    /// The same request was accepted before.
    Duplicate,
    /// Well-formed, and against what is already known.
    Conflict,
    /// Kept until somebody maps its status word.
    Quarantined,
    /// Malformed, invalid or not allowed.
    Rejected,
}

/// What happened, as postbacks subscribe to it.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Event")]
pub enum Event {
    Click,
    Lead,
    Registration,
    Trial,
    Sale,
    Custom,
    /// First deposit of a click or customer.
    #[graphql(name = "FTD")]
    FirstDeposit,
    /// A later deposit.
    Redeposit,
    Rebill,
    Hold,
    Approve,
    Reject,
    Payout,
    CustomerActivate,
    CustomerDeactivate,
    /// A destination fails for long, or a delivery to it was given up. Only the platform's own
    /// postbacks hear of this and the next two.
    DestinationFailing,
    /// A destination that was warned of answers again.
    DestinationRecovered,
    /// A postback was paused, and by nobody's hand.
    DestinationPaused,
}

/// What an action is: the kind of its paid goal.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::ActionKind")]
pub enum ActionKind {
    Lead,
    Registration,
    Deposit,
    Trial,
    Sale,
    Rebill,
    Custom,
}

/// What a visitor held in hand, as the user agent tells.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "device::Device")]
pub enum Device {
    Desktop,
    Mobile,
    Tablet,
    /// A crawler, a preview, an HTTP library: nobody's eyes.
    Bot,
    Other,
}

/// How long a bucket of time is, by the clocks of the zone.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "time_bucket::TimeBucket")]
pub enum TimeBucket {
    Minute,
    FiveMinutes,
    Hour,
    /// 23 or 25 hours where the clocks are changed in it.
    Day,
    /// From Monday.
    Week,
    Month,
}

/// Which groups come first.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "stats::Direction")]
pub enum Direction {
    Ascending,
    Descending,
}

/// How a partner is paid for an action.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "payout::PayoutModel")]
pub enum PayoutModel {
    /// An amount for each conversion.
    Fixed,
    /// A share of the price.
    Percent,
    /// For every payment of a recurring customer, an amount or a share.
    Recurring,
}

/// What can be changed, as the audit log names it.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "audit::Entity")]
pub enum AuditEntity {
    Advertiser,
    ApiKey,
    Secret,
    Partner,
    Offer,
    Action,
    Link,
    Postback,
    Token,
    Conversion,
    InboundRequest,
    Integration,
    StatusWord,
    Quarantine,
    Reconciliation,
    Delivery,
    DeliveryJob,
}

#[cfg(test)]
mod tests {
    use async_graphql::resolver_utils::EnumType;

    use super::*;

    fn names<E: EnumType>() -> Vec<String> {
        E::items().iter().map(|item| item.name.to_owned()).collect()
    }

    fn capitals<'a>(codes: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        codes.into_iter().map(str::to_uppercase).collect()
    }

    #[test]
    fn every_name_is_its_code_in_capitals() {
        assert_eq!(names::<ConversionStatus>(), capitals(status::Status::ALL.map(|item| item.code())));
        assert_eq!(names::<Meaning>(), capitals(status::Meaning::ALL.iter().map(|item| item.code())));
        assert_eq!(names::<Outcome>(), capitals(retry::Outcome::ALL.iter().map(|item| item.code())));
        assert_eq!(names::<ErrorKind>(), capitals(retry::ErrorKind::ALL.iter().map(|item| item.code())));
        assert_eq!(names::<Verdict>(), capitals(verdict::VerdictKind::ALL.iter().map(|item| item.code())));
        assert_eq!(names::<ActionKind>(), capitals(event::ActionKind::ALL.iter().map(|item| item.code())));
        assert_eq!(names::<PayoutModel>(), capitals(payout::PayoutModel::ALL.iter().map(|item| item.code())));
        assert_eq!(names::<AuditEntity>(), capitals(audit::Entity::ALL.iter().map(|item| item.code())));
        assert_eq!(names::<Device>(), capitals(device::Device::ALL.iter().map(|item| item.code())));
        assert_eq!(
            names::<TimeBucket>(),
            capitals(time_bucket::TimeBucket::ALL.iter().map(|item| item.code()))
        );
        assert_eq!(names::<Event>(), capitals(event::Event::ALL.iter().map(|item| item.code())));
    }
}
