//! What an exchange says of the destination itself, beyond the one delivery.

use std::time::Duration;

use crate::domain::retry::{ErrorKind, Exchange};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It answers and can take more. A refusal of the single request (404, 422, a redirect) is an
    /// answer like any other.
    Well,
    /// It cannot be reached, breaks off, or fails inside.
    Failing,
    /// It is failing because of too much: a timeout, 408, 429 or 503. `hold`: how long it asks to be
    /// left alone.
    Overloaded { hold: Option<Duration> },
    /// 410: nothing should come here any more.
    Gone,
    /// Nothing was sent, or the fault is ours.
    Nothing,
}

impl Signal {
    /// `wait` is what the answer's `Retry-After` asks for, within its cap.
    pub fn of(exchange: &Exchange, wait: Option<Duration>) -> Self {
        match exchange {
            Exchange::Answered { status: 410, .. } => Self::Gone,
            Exchange::Answered { status: 429 | 503, .. } => Self::Overloaded { hold: wait },
            Exchange::Answered { status: 408, .. } => Self::Overloaded { hold: None },
            Exchange::Answered { status: 500..=599, .. } => Self::Failing,
            Exchange::Answered { .. } => Self::Well,
            Exchange::Broken { kind, .. } => match kind {
                ErrorKind::Timeout => Self::Overloaded { hold: None },
                ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Reset => Self::Failing,
                // Not of an exchange with a destination.
                _ => Self::Nothing,
            },
            Exchange::Unfit { .. } => Self::Nothing,
        }
    }
}
