//! Sending again by hand, and late postbacks: what becomes of each delivery, and at which pace.

use chrono::{DateTime, TimeDelta, Utc};

use super::coded::coded_enum;

coded_enum! {
    /// Which request a resend sends.
    RequestVersion {
        /// As the postback was when the delivery was last sent.
        Original = "original",
        /// As the postback is today.
        Current = "current",
    }
}

/// What a resend does about the conditions of postbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// What a condition, as it is today, keeps back is not sent, and the log says why.
    Heeded,
    /// Somebody has asked for it to be sent all the same.
    Ignored,
}

coded_enum! {
    /// What a job makes deliveries of.
    JobKind {
        /// Of deliveries that were made before.
        Resend = "resend",
        /// Of conversions that a postback came too late for.
        SendPast = "send_past",
    }
}

coded_enum! {
    /// ```text
    /// planned ──► running ──► done
    ///    │  ▲      │  ▲  └──► failed
    ///    ▼  │      ▼  │
    ///   paused ◄──────┘        any of the three on the left ──► cancelled
    /// ```
    JobState {
        /// No node has begun with it.
        Planned = "planned",
        Running = "running",
        Paused = "paused",
        Done = "done",
        Cancelled = "cancelled",
        Failed = "failed",
    }
}

impl JobState {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }
}

coded_enum! {
    /// Why nothing was made of what was asked for.
    PassedOver {
        /// Past the history's retention: what a postback is filled with is gone.
        Forgotten = "forgotten",
        /// An attempt is under way; its outcome is not known yet.
        BeingSent = "being_sent",
        PostbackDeleted = "postback_deleted",
        /// The original request is asked for, but it was never sent, or before requests were kept.
        RequestNotKept = "request_not_kept",
        /// This job has made it before, or another of its deliveries is of the same event.
        MadeBefore = "made_before",
        /// It has its delivery already.
        HasDelivery = "has_delivery",
        /// The postback's condition does not hold.
        ConditionUnmet = "condition_unmet",
    }
}

impl PassedOver {
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Forgotten => {
                "its history is past the retention, so there is nothing to fill a request with"
            }
            Self::BeingSent => "an attempt is under way; look at its outcome first",
            Self::PostbackDeleted => "its postback is deleted",
            Self::RequestNotKept => "the request it was sent with is not known; resend the current one",
            Self::MadeBefore => "this job has sent the same event to the same postback again already",
            Self::HasDelivery => "the postback has heard of this event, or will",
            Self::ConditionUnmet => "the postback's condition keeps it back",
        }
    }
}

/// A finished delivery, as far as a resend asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    pub has_history: bool,
    pub postback_is_deleted: bool,
    /// The revision of its postback that it was last sent with.
    pub sent_revision: Option<i32>,
    /// By the condition of its postback, where that is heeded.
    pub is_kept_back: bool,
}

/// Where a delivery that is to be resent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Waiting,
    BeingSent,
    Finished(Finished),
    /// Neither in the queue nor in the history.
    Unknown,
}

/// What a resend does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// It is sent for the first time, or once more, anyhow: now rather than later.
    Hasten,
    /// A new delivery; set: of this revision of its postback.
    Make {
        pinned_revision: Option<i32>,
    },
    PassOver(PassedOver),
}

pub fn resend(standing: Standing, request: RequestVersion) -> Resend {
    let finished = match standing {
        Standing::Waiting => return Resend::Hasten,
        Standing::BeingSent => return Resend::PassOver(PassedOver::BeingSent),
        Standing::Unknown => return Resend::PassOver(PassedOver::Forgotten),
        Standing::Finished(finished) => finished,
    };
    if !finished.has_history {
        return Resend::PassOver(PassedOver::Forgotten);
    }
    if finished.postback_is_deleted {
        return Resend::PassOver(PassedOver::PostbackDeleted);
    }
    if finished.is_kept_back {
        return Resend::PassOver(PassedOver::ConditionUnmet);
    }
    match (request, finished.sent_revision) {
        (RequestVersion::Current, _) => Resend::Make { pinned_revision: None },
        (RequestVersion::Original, Some(revision)) => Resend::Make { pinned_revision: Some(revision) },
        (RequestVersion::Original, None) => Resend::PassOver(PassedOver::RequestNotKept),
    }
}

/// Longest time whose share a job may catch up with at once.
const BURST: TimeDelta = TimeDelta::seconds(1);

/// The pace of a job: so many deliveries a second. Times between two steps add up, to a second's
/// worth and no more: a job that had to wait does not make up for it in one go.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    rate_per_second: i64,
}

impl Pace {
    /// `until`: the time that earlier steps have used up.
    pub fn at(until: DateTime<Utc>, now: DateTime<Utc>, rate_per_second: u32) -> Self {
        Self { from: until.max(now - BURST), now, rate_per_second: i64::from(rate_per_second.max(1)) }
    }

    /// How many may be made now.
    pub fn allows(self) -> usize {
        let micros = (self.now - self.from).num_microseconds().unwrap_or(0).max(0);
        usize::try_from(micros * self.rate_per_second / 1_000_000).unwrap_or(0)
    }

    /// Until when the time is used up, once so many have been made.
    pub fn used_up_by(self, made: usize) -> DateTime<Utc> {
        let made = i64::try_from(made).unwrap_or(i64::MAX / 2_000_000);
        // Rounded up, so that no rounding makes it faster.
        let micros = (made * 1_000_000 + self.rate_per_second - 1) / self.rate_per_second;
        self.from + TimeDelta::microseconds(micros)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEPT: Finished = Finished {
        has_history: true,
        postback_is_deleted: false,
        sent_revision: Some(3),
        is_kept_back: false,
    };

    #[test]
    fn every_standing_has_its_resend() {
        use RequestVersion::{Current, Original};
        let passed = Resend::PassOver;
        let gone = Finished { has_history: false, ..KEPT };
        let deleted = Finished { postback_is_deleted: true, ..KEPT };
        let unsent = Finished { sent_revision: None, ..KEPT };
        let kept_back = Finished { is_kept_back: true, ..unsent };
        for (standing, request, expected) in [
            (Standing::Waiting, Original, Resend::Hasten),
            (Standing::BeingSent, Current, passed(PassedOver::BeingSent)),
            (Standing::Unknown, Current, passed(PassedOver::Forgotten)),
            (Standing::Finished(gone), Current, passed(PassedOver::Forgotten)),
            (Standing::Finished(deleted), Current, passed(PassedOver::PostbackDeleted)),
            (Standing::Finished(KEPT), Current, Resend::Make { pinned_revision: None }),
            (Standing::Finished(KEPT), Original, Resend::Make { pinned_revision: Some(3) }),
            (Standing::Finished(unsent), Original, passed(PassedOver::RequestNotKept)),
            (Standing::Finished(unsent), Current, Resend::Make { pinned_revision: None }),
            (Standing::Finished(kept_back), Current, passed(PassedOver::ConditionUnmet)),
            (Standing::Finished(kept_back), Original, passed(PassedOver::ConditionUnmet)),
        ] {
            assert_eq!(resend(standing, request), expected, "{standing:?} {request:?}");
        }
    }

    proptest! {
        /// Whatever the steps, no more is made than the rate allows for the time that passed.
        #[test]
        fn no_pace_is_faster_than_its_rate(
            rate in 1u32..20_000,
            waits_us in proptest::collection::vec(0i64..3_000_000, 1..60),
        ) {
            let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            let (mut now, mut until, mut made) = (start, start, 0usize);
            for wait in waits_us {
                now += TimeDelta::microseconds(wait);
                let pace = Pace::at(until, now, rate);
                let allowed = pace.allows().min(500);
                prop_assert!(pace.used_up_by(allowed) >= until);
                made += allowed;
                until = pace.used_up_by(allowed);
                let elapsed = (now - start).num_microseconds().unwrap() as f64 / 1e6;
                prop_assert!(made as f64 <= elapsed * f64::from(rate) + 1e-6);
            }
        }
    }
}
