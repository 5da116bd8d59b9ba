//! Which sites' pages may open WebSockets here.

use std::str::FromStr;

use url::{Origin, Url};

/// Origins of pages besides our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    Any,
    These(Vec<Origin>),
}

impl Default for Origins {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Origins {
    /// Whether a page of `origin` may, where we were called as `host`. What calls without an origin
    /// is no browser.
    ///
    /// The token is never sent by a browser on its own, so a foreign page can do nothing that
    /// its author could not; this keeps visitors' browsers from being used to try tokens out.
    pub fn allow(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else { return true };
        let Some(origin) = read(origin) else { return *self == Self::Any };
        match self {
            Self::Any => true,
            Self::These(origins) => {
                let is_own = ["http", "https"]
                    .iter()
                    .any(|scheme| read(&format!("{scheme}://{host}")).is_some_and(|own| own == origin));
                is_own || origins.contains(&origin)
            }
        }
    }
}

/// An origin that is one: `null` and the like are nobody's.
fn read(text: &str) -> Option<Origin> {
    let url = Url::parse(text.trim()).ok()?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let origin = url.origin();
    (is_bare && origin.is_tuple() && matches!(url.scheme(), "http" | "https")).then_some(origin)
}

#[derive(Debug)]
pub struct NotOrigins;

impl FromStr for Origins {
    type Err = NotOrigins;

    fn from_str(text: &str) -> Result<Self, NotOrigins> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        text.split(',').map(read).collect::<Option<_>>().map(Self::These).ok_or(NotOrigins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_pages_and_programs_always_may() {
        let none = Origins::default();
        assert!(none.allow(None, "ricochet.example"));
        assert!(none.allow(Some("https://ricochet.example"), "ricochet.example"));
        assert!(none.allow(Some("http://127.0.0.1:8080"), "127.0.0.1:8080"));
        for foreign in ["https://evil.example", "https://ricochet.example:8443", "null", "file://", ""] {
            assert!(!none.allow(Some(foreign), "ricochet.example"), "{foreign}");
        }
    }

    #[test]
    fn others_may_when_they_are_named() {
        let named: Origins = "https://dashboard.example, http://localhost:3000/".parse().unwrap();
        assert!(named.allow(Some("https://dashboard.example"), "ricochet.example"));
        assert!(named.allow(Some("http://localhost:3000"), "ricochet.example"));
        assert!(!named.allow(Some("http://dashboard.example"), "ricochet.example"));
        assert!("*".parse::<Origins>().unwrap().allow(Some("null"), "ricochet.example"));
        for bad in ["dashboard.example", "https://a.example/page", "ftp://a.example", "https://a.example,,"] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
