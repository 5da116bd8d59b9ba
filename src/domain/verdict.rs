//! What became of one request, and the words it is told in.

use serde::Serialize;
use serde_json::{Value, json};

use super::coded::coded_enum;
use super::ids::LeadId;

/// One fault of one field, with the remedy in its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: String,
    pub code: &'static str,
    pub message: String,
}

impl FieldError {
    pub fn new(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), code, message: message.into() }
    }

    pub fn missing(field: &str) -> Self {
        Self::new(field, "missing", format!("{field} is required"))
    }

    pub fn too_long(field: &str, characters: usize) -> Self {
        Self::new(field, "too_long", format!("{field} has at most {characters} characters"))
    }
}

/// Why a well-formed request changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConflictReason {
    /// The status may not follow the present one.
    Transition { from: &'static str, to: &'static str },
    /// The same request id with the same status, but another price.
    PriceChanged,
    /// The same request id, reported for another click before.
    OtherClick,
    /// The action is paid once a click, and the click has this lead already.
    OncePerClick { existing: LeadId },
}

impl ConflictReason {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Transition { .. } => "transition",
            Self::PriceChanged => "price_changed",
            Self::OtherClick => "other_click",
            Self::OncePerClick { .. } => "once_per_click",
        }
    }

    pub fn sentence(&self) -> String {
        match self {
            Self::Transition { from, to } => format!("a conversion that is {from} cannot become {to}"),
            Self::PriceChanged => "the price may change only together with the status".into(),
            Self::OtherClick => "this request_id was reported for another click before".into(),
            Self::OncePerClick { existing } => {
                format!("the action is counted once per click, and this click has lead {existing}")
            }
        }
    }
}

coded_enum! {
    /// The kinds of verdict, as the inbound log is filtered by them.
    VerdictKind {
        Accepted = "accepted",
        Duplicate = "duplicate",
        Conflict = "conflict",
        Quarantined = "quarantined",
        Rejected = "rejected",
    }
}

/// How a caller wants its verdict told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// A conflict is a 200 whose body says so.
    #[default]
    Usual,
    /// The caller asked for strict handling: a conflict is a 409 with the same body.
    Strict,
    /// A browser that wants a picture: always 200.
    Picture,
}

impl Manner {
    pub fn http_status(self, verdict: &Verdict) -> u16 {
        match (self, verdict) {
            (Self::Picture, _) => 200,
            (Self::Strict, Verdict::Conflict { .. }) => 409,
            (Self::Usual | Self::Strict, verdict) => verdict.http_status(),
        }
    }
}

/// What became of one request at a conversion door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accepted {
        lead_id: LeadId,
    },
    Duplicate {
        lead_id: LeadId,
    },
    Conflict {
        lead_id: LeadId,
        reason: ConflictReason,
    },
    /// A recurring customer was added, stopped, or was so already.
    Customer {
        customer_id: String,
        active: bool,
        duplicate: bool,
    },
    /// The status word is unknown; the request waits until somebody maps it.
    Quarantined {
        word: String,
    },
    /// The request is well-formed and wrong: 422.
    Invalid(Vec<FieldError>),
    /// The body or query could not be read at all: 400.
    Malformed(FieldError),
    /// More was sent than is taken at once: 413.
    TooLarge(FieldError),
    /// The key in the path is nobody's: 401.
    UnknownKey,
}

impl Verdict {
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Accepted { .. } | Self::Customer { duplicate: false, .. } => VerdictKind::Accepted,
            Self::Duplicate { .. } | Self::Customer { duplicate: true, .. } => VerdictKind::Duplicate,
            Self::Conflict { .. } => VerdictKind::Conflict,
            Self::Quarantined { .. } => VerdictKind::Quarantined,
            Self::Invalid(_) | Self::Malformed(_) | Self::TooLarge(_) | Self::UnknownKey => {
                VerdictKind::Rejected
            }
        }
    }

    /// The word the inbound log and the metrics use.
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    pub fn http_status(&self) -> u16 {
        match self {
            Self::Accepted { .. }
            | Self::Duplicate { .. }
            | Self::Conflict { .. }
            | Self::Customer { .. } => 200,
            Self::Quarantined { .. } => 202,
            Self::Malformed(_) => 400,
            Self::UnknownKey => 401,
            Self::TooLarge(_) => 413,
            Self::Invalid(_) => 422,
        }
    }

    pub fn lead_id(&self) -> Option<LeadId> {
        match self {
            Self::Accepted { lead_id } | Self::Duplicate { lead_id } | Self::Conflict { lead_id, .. } => {
                Some(*lead_id)
            }
            _ => None,
        }
    }

    /// A sentence for the inbound log; empty where all went well.
    pub fn reason(&self) -> String {
        match self {
            Self::Accepted { .. } | Self::Duplicate { .. } | Self::Customer { .. } => String::new(),
            Self::Conflict { reason, .. } => reason.sentence(),
            Self::Quarantined { word } => format!("nobody has mapped the status word {word:?} yet"),
            Self::Invalid(errors) => errors
                .iter()
                .map(|error| format!("{}: {}", error.field, error.message))
                .collect::<Vec<_>>()
                .join("; "),
            Self::Malformed(error) | Self::TooLarge(error) => format!("{}: {}", error.field, error.message),
            Self::UnknownKey => UNKNOWN_KEY.into(),
        }
    }

    /// The codes by which rejections are counted; bounded, for metrics.
    pub fn reason_code(&self) -> &'static str {
        match self {
            Self::Accepted { .. } | Self::Duplicate { .. } | Self::Customer { .. } => "",
            Self::Conflict { reason, .. } => reason.code(),
            Self::Quarantined { .. } => "unknown_status",
            Self::Invalid(errors) => errors.first().map_or("invalid", |error| error.code),
            Self::Malformed(error) | Self::TooLarge(error) => error.code,
            Self::UnknownKey => "unknown_key",
        }
    }

    /// The JSON body of the answer.
    pub fn body(&self) -> Value {
        match self {
            Self::Accepted { lead_id } => success(*lead_id, false, false),
            Self::Duplicate { lead_id } => success(*lead_id, false, true),
            Self::Conflict { lead_id, reason } => {
                let mut body = success(*lead_id, true, false);
                body["conflict"] = json!({ "code": reason.code(), "message": reason.sentence() });
                body
            }
            Self::Customer { customer_id, active, duplicate } => json!({
                "status": "success", "customer_id": customer_id, "active": active, "lead_id": null,
                "rejected_by_conflict": false, "duplicate": duplicate,
            }),
            Self::Quarantined { word } => json!({
                "status": "quarantined", "word": word,
                "message": "this status word is not mapped yet; the conversion is kept and will be \
                            processed as of its own time once it is",
            }),
            Self::Invalid(errors) => error_body(errors),
            Self::Malformed(error) | Self::TooLarge(error) => error_body(std::slice::from_ref(error)),
            Self::UnknownKey => error_body(&[FieldError::new("api_key", "unknown_key", UNKNOWN_KEY)]),
        }
    }
}

const UNKNOWN_KEY: &str = "this API key is not known or was revoked; use a key of the advertiser";

/// The body of every refusal: `{"status":"error","errors":[{"field","code","message"}]}`.
pub fn error_body(errors: &[FieldError]) -> Value {
    json!({ "status": "error", "errors": errors })
}

fn success(lead_id: LeadId, rejected_by_conflict: bool, duplicate: bool) -> Value {
    json!({
        "status": "success", "lead_id": lead_id,
        "rejected_by_conflict": rejected_by_conflict, "duplicate": duplicate,
    })
}
