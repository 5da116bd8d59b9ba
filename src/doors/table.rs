//! Every HTTP door: what it is for, what it takes, what it answers.
//!
//! The routes take their paths and methods from here, and `openapi.json` is written from here.
//! No generator over typed handlers (such as utoipa) fits: the fields of a conversion have many
//! names each and come in four encodings, and [`crate::domain::fields::NAMES`] is their one truth.

mod browser;
mod clicks;
mod conversions;
mod exports;
mod operations;
mod reconciliations;

pub use browser::{IFRAME, PIXEL, SCRIPT, VERSIONED_SCRIPT};
pub use clicks::{CLICK_BY_PATH, CLICK_BY_QUERY};
pub use conversions::{CHATTERFY, CONVERSIONS, INTEGRATION, S2S};
pub use exports::EXPORT;
pub use operations::{GRAPHQL, HEALTHZ, METRICS, OPENAPI, READYZ};
pub use reconciliations::{RECONCILIATION, RECONCILIATION_APPLY, RECONCILIATION_ROWS, RECONCILIATIONS};

/// One path and what it can be asked.
#[derive(Debug)]
pub struct Door {
    /// As OpenAPI and actix-web both write it.
    pub path: &'static str,
    pub ways: &'static [Way],
}

/// One method of a door.
#[derive(Debug)]
pub struct Way {
    pub method: &'static str,
    /// Unique over all doors; clients are generated with it as a name.
    pub operation: &'static str,
    pub group: Group,
    pub summary: &'static str,
    pub description: &'static str,
    pub takes: &'static [Takes],
    pub answers: &'static [Answer],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Conversions,
    Reconciliations,
    Browser,
    Clicks,
    Exports,
    Graphql,
    Operations,
}

/// Something a door reads, besides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// `Authorization: Bearer {api key}`.
    ApiKey,
    /// `Authorization: Bearer {token}`.
    Token,
    /// Either of the two, as `Authorization: Bearer`.
    ApiKeyOrToken,
    /// The fields of a conversion, as query parameters.
    ConversionQuery,
    /// The same of a browser, which may bring its click id in a cookie.
    BrowserQuery,
    /// A conversion as JSON or form.
    ConversionBody,
    /// A conversion, an array or a stream of them.
    ConversionItems,
    /// `strict=1` and `Prefer: handling=strict`.
    Strict,
    /// Parameters of a foreign system in the query string, under whatever names.
    ForeignQuery,
    /// The same as JSON or form.
    ForeignBody,
    /// Parameters of Chatterfy in the query string.
    ChatterfyQuery,
    /// The secret of an integration that has one.
    Secret,
    /// An advertiser's file, and how to read it.
    File,
    /// Whose file it is, where an owner asks.
    AdvertiserId,
    /// Which rows of a file to show.
    RowPage,
    Click,
    /// `link`, where it is not in the path.
    Link,
    GraphqlBody,
    /// What is exported, and how it is written.
    ExportFilter,
    IfNoneMatch,
}

#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub status: &'static str,
    pub description: &'static str,
    pub content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    None,
    /// A schema of `components`, as JSON.
    Json(&'static str),
    /// What the Conversions API answers: by kind of body.
    Results,
    Redirect,
    Gif,
    Html,
    Script,
    Text,
    /// An export in one of its formats.
    File,
    Click,
}

impl Door {
    /// The methods, as the header `Allow` lists them.
    pub fn allowed(&self) -> String {
        self.ways.iter().map(|way| way.method).collect::<Vec<_>>().join(", ")
    }
}

const fn answer(status: &'static str, description: &'static str, content: Content) -> Answer {
    Answer { status, description, content }
}

const REFUSED: Content = Content::Json("Error");
const NOT_RECORDED: Answer =
    answer("503", "Nothing was recorded: PostgreSQL is away or the queue is full. Send it again.", REFUSED);
const TOO_LARGE: Answer = answer("413", "More was sent than is taken at once.", REFUSED);
const UNKNOWN_KEY: Answer =
    answer("401", "The API key is not known, or the signature is missing or wrong.", REFUSED);
const NOT_ALLOWED: Answer = answer("403", "The source address is not on the allowlist.", REFUSED);
const TOO_MANY: Answer = answer("429", "Too many requests; `Retry-After` says when to come again.", REFUSED);

/// All doors, in the order they are described.
pub const DOORS: &[&Door] = &[
    &CONVERSIONS,
    &S2S,
    &INTEGRATION,
    &CHATTERFY,
    &RECONCILIATIONS,
    &RECONCILIATION,
    &RECONCILIATION_ROWS,
    &RECONCILIATION_APPLY,
    &PIXEL,
    &IFRAME,
    &SCRIPT,
    &VERSIONED_SCRIPT,
    &CLICK_BY_PATH,
    &CLICK_BY_QUERY,
    &EXPORT,
    &GRAPHQL,
    &HEALTHZ,
    &READYZ,
    &METRICS,
    &OPENAPI,
];
