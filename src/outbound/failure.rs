//! How an exchange fails, told by the types of errors.

use std::error::Error;
use std::io;

use nix::errno::Errno;

use crate::domain::address_policy::Refusal;
use crate::domain::retry::{ErrorKind, Exchange};
use crate::outbound::resolver::LookupError;

/// Bytes of an answer's head; past it the answer is not read.
pub const MOST_HEAD_BYTES: usize = 64 * 1024;

const EMFILE: i32 = Errno::EMFILE as i32;
const ENFILE: i32 = Errno::ENFILE as i32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It was not sent, and is not fit to be.
    Unfit {
        kind: ErrorKind,
        reason: String,
    },
    Broken {
        kind: ErrorKind,
        message: String,
    },
}

impl Failure {
    pub fn unfit(reason: impl Into<String>) -> Self {
        Self::Unfit { kind: ErrorKind::None, reason: format!("not sent: {}", reason.into()) }
    }

    pub fn broken(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Broken { kind, message: message.into() }
    }

    /// Of a connection that could not be opened to `place`.
    pub fn connect(place: &str, error: &io::Error) -> Self {
        // Not the destination's fault.
        if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
            let message =
                "this node has no file descriptor left for a connection; raise its limit (ulimit -n)";
            return Self::broken(ErrorKind::Internal, message);
        }
        Self::broken(ErrorKind::Connect, format!("cannot connect to {place}: {error}"))
    }

    /// Of a TLS handshake.
    pub fn tls(error: &io::Error) -> Self {
        let message = match rustls_error(error) {
            Some(error @ rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
                format!("{error}; if it is your own authority's, name its file by RICOCHET_OUTBOUND_CA_FILE")
            }
            Some(error) => error.to_string(),
            None => format!("the TLS handshake broke: {error}"),
        };
        Self::broken(ErrorKind::Tls, message)
    }

    /// Of a connection under way.
    pub fn of_hyper(error: &hyper::Error) -> Self {
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                // Of TLS 1.3, a client learns only here that its certificate is not wanted.
                if rustls_error(io).is_some() {
                    return Self::tls(io);
                }
                return Self::broken(ErrorKind::Reset, format!("the connection broke: {io}"));
            }
            source = inner.source();
        }
        let message = if error.is_parse_too_large() {
            format!("the head of its answer is longer than {MOST_HEAD_BYTES} bytes or has over 100 headers")
        } else if error.is_parse() {
            format!("its answer is no HTTP: {error}")
        } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            "it closed the connection before its answer was complete".into()
        } else {
            match error.source() {
                Some(source) => format!("the connection broke: {source}"),
                None => format!("the connection broke: {error}"),
            }
        };
        Self::broken(ErrorKind::Reset, message)
    }

    /// As it is judged; `status` is 0 where no answer had begun.
    pub fn into_exchange(self, status: u16) -> Exchange {
        match self {
            Self::Unfit { kind, reason } => Exchange::Unfit { kind, reason },
            Self::Broken { kind, message } => Exchange::Broken {
                kind,
                message: match status {
                    0 => message,
                    status => format!("answered {status}, then not to the end: {message}"),
                },
            },
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Unfit { kind: ErrorKind::Blocked, reason: format!("not sent: {refusal}") }
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        Self::broken(ErrorKind::Dns, error.to_string())
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
