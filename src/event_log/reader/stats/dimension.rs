//! What rows can be grouped by.

/// A property of a row that its group shares. Not every log has every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    Status,
    Outcome,
    Offer,
    Partner,
    Advertiser,
    Postback,
    Link,
    Integration,
    Owner,
    Event,
    Action,
    Currency,
    Country,
    Device,
    ErrorKind,
    ResponseCode,
    Method,
    Attempt,
    Verdict,
    ReasonCode,
    Door,
    HttpStatus,
    /// Of the zone's clocks, 0 to 23.
    HourOfDay,
}

impl Dimension {
    /// The column that holds it; the hour of day is of the time, and has none.
    pub fn column(self) -> Option<&'static str> {
        Some(match self {
            Self::Status => "status",
            Self::Outcome => "outcome",
            Self::Offer => "offer_id",
            Self::Partner => "partner_id",
            Self::Advertiser => "advertiser_id",
            Self::Postback => "postback_id",
            Self::Link => "link_id",
            Self::Integration => "integration_id",
            Self::Owner => "owner",
            Self::Event => "event",
            Self::Action => "action",
            Self::Currency => "currency",
            Self::Country => "country",
            Self::Device => "device",
            Self::ErrorKind => "error_kind",
            Self::ResponseCode => "response_code",
            Self::Method => "method",
            Self::Attempt => "attempt",
            Self::Verdict => "verdict",
            Self::ReasonCode => "reason_code",
            Self::Door => "door",
            Self::HttpStatus => "http_status",
            Self::HourOfDay => return None,
        })
    }

    /// Whether its column holds ids that may be missing.
    pub(super) fn is_id(self) -> bool {
        matches!(
            self,
            Self::Offer | Self::Partner | Self::Advertiser | Self::Postback | Self::Link | Self::Integration
        )
    }
}
