//! A signature in the query string: `…&ts=1700000000&sig=…`.

/// The parameter that carries the signature.
pub const SIGNATURE: &str = "sig";
/// The parameter that carries the time of signing, in Unix seconds.
pub const TIMESTAMP: &str = "ts";

/// The parts of a query string, each as it was sent, percent-encoding and all. Decoding first
/// would make `a=1%26b=2` and `a=1&b=2` the same text, and one signature good for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedQuery<'a> {
    /// The values of `sig`; more than one is a fault.
    pub signatures: Vec<&'a str>,
    /// The values of `ts`; they are signed like any other parameter.
    pub timestamps: Vec<&'a str>,
    /// Everything but `sig`.
    parameters: Vec<&'a str>,
}

impl<'a> SignedQuery<'a> {
    pub fn read(query: &'a str) -> Self {
        let is_signature = |pair: &&str| name_of(pair) == SIGNATURE;
        let (signatures, parameters): (Vec<&str>, Vec<&str>) =
            query.split('&').filter(|pair| !pair.is_empty()).partition(is_signature);
        let timestamps = parameters.iter().copied().filter(|pair| name_of(pair) == TIMESTAMP);
        Self {
            timestamps: timestamps.map(value_of).collect(),
            signatures: signatures.into_iter().map(value_of).collect(),
            parameters,
        }
    }

    /// Whether there is nothing to sign.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The query string without `sig`.
    pub fn raw(&self) -> String {
        self.parameters.join("&")
    }

    /// The same with its parameters sorted by name, then value, byte by byte.
    pub fn sorted(&self) -> String {
        let mut parameters = self.parameters.clone();
        parameters.sort_by_key(|pair| (name_of(pair), value_of(pair)));
        parameters.join("&")
    }
}

fn name_of<'a>(pair: &&'a str) -> &'a str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn value_of(pair: &str) -> &str {
    pair.split_once('=').map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_signature_is_taken_out_and_the_rest_stays_as_it_was_sent() {
        let query = SignedQuery::read("b=2&sig=ab&a=x%20y&&a-b=1&ts=7&a=%2B&flag");
        assert_eq!(query.signatures, ["ab"]);
        assert_eq!(query.timestamps, ["7"]);
        assert_eq!(query.raw(), "b=2&a=x%20y&a-b=1&ts=7&a=%2B&flag");
        assert_eq!(query.sorted(), "a=%2B&a=x%20y&a-b=1&b=2&flag&ts=7");
        assert!(SignedQuery::read("&sig=1&").is_empty());
    }

    proptest! {
        #[test]
        fn the_order_changes_the_raw_text_only(mut pairs in proptest::collection::vec("[a-c]{1,2}=[0-9%]{0,3}", 0..6)) {
            let sent = pairs.join("&");
            let sorted = SignedQuery::read(&sent).sorted();
            prop_assert_eq!(SignedQuery::read(&sent).raw(), sent.clone());
            pairs.reverse();
            prop_assert_eq!(SignedQuery::read(&pairs.join("&")).sorted(), sorted);
        }
    }
}
