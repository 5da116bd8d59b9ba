//! What a visitor's request says. Nothing is refused: a visitor cannot be asked to send a
//! better one, so what cannot be read is kept as it was written, and marked.

use percent_encoding::percent_decode;

use super::coded::coded_enum;

/// A visit through a link.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    pub query: Query,
    pub ip: String,
    pub user_agent: String,
    pub referrer: String,
    /// ISO 3166-1 alpha-2 in upper case, or empty.
    pub country: String,
}

/// A query string, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// In their order, repeated names included.
    pub parameters: Vec<(String, String)>,
    pub has_faults: bool,
}

coded_enum! {
    /// What was wrong with a visit. It stands among the click's parameters under this name.
    Mark {
        Encoding = "ricochet.encoding",
        Dropped = "ricochet.dropped",
        Composite = "ricochet.composite",
        Account = "ricochet.account",
        ClickId = "ricochet.clickid",
    }
}

impl Query {
    /// Reads a query string. A name or value whose escapes are broken, or are not UTF-8 (other
    /// code pages occur), stays as it was written: that is ugly, but nothing of it is lost.
    pub fn read(text: &str) -> Self {
        let mut has_faults = false;
        let mut decode = |part: &str| {
            let spaced: Vec<u8> = part.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
            has_faults |= has_broken_escape(&spaced);
            String::from_utf8(percent_decode(&spaced).collect()).unwrap_or_else(|_| {
                has_faults = true;
                part.to_owned()
            })
        };
        let parameters = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect();
        Self { parameters, has_faults }
    }

    pub fn first(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn has_broken_escape(text: &[u8]) -> bool {
    let is_whole = |rest: &[u8]| rest.len() >= 3 && rest[1..3].iter().all(u8::is_ascii_hexdigit);
    (0..text.len()).any(|index| text[index] == b'%' && !is_whole(&text[index..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(query: &Query) -> Vec<(&str, &str)> {
        query.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn faults_are_kept_and_marked() {
        let query = Query::read("a=%ff&b=50%&c=%zz&%c3%28=1&&d&=e&f=g=h");
        let expected =
            [("a", "%ff"), ("b", "50%"), ("c", "%zz"), ("%c3%28", "1"), ("d", ""), ("", "e"), ("f", "g=h")];
        assert_eq!(pairs(&query), expected);
        assert!(query.has_faults);
        assert!(!Query::read("a=%D1%8F+b&a=2").has_faults);
        assert_eq!(pairs(&Query::read("a=%D1%8F+b&a=2")), [("a", "я b"), ("a", "2")]);
    }

    proptest! {
        #[test]
        fn no_query_panics_and_none_is_lost(text in "[ -~é&=%+]{0,80}") {
            let count = text.split('&').filter(|pair| !pair.is_empty()).count();
            prop_assert_eq!(Query::read(&text).parameters.len(), count);
        }

        #[test]
        fn whole_queries_come_back(pairs in proptest::collection::vec((".{1,20}", ".{0,20}"), 0..8)) {
            let query = Query::read(&serde_urlencoded::to_string(&pairs).unwrap());
            prop_assert!(!query.has_faults);
            prop_assert_eq!(query.parameters, pairs);
        }
    }
}
