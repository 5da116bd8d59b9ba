//! Cuts a JSON array into its items without reading them.
//!
//! Only brackets, strings and commas count. An item that is no JSON (a stray word, a byte that
//! is not UTF-8) is then one item's fault; a parser of the whole would refuse its neighbours too.

use actix_web::web::Bytes;

use crate::domain::verdict::FieldError;

/// The items of an array, surrounding blanks included.
pub fn items(body: &Bytes) -> Result<Vec<Bytes>, FieldError> {
    let broken = |message: &str| Err(FieldError::new("body", "invalid_json", message));
    let start = body.iter().position(|byte| *byte == b'[').map_or(0, |at| at + 1);
    let mut items = Vec::new();
    let mut item_start = start;
    let mut depth = 0_usize;
    let mut place = Place::Outside;
    for (at, byte) in body.iter().enumerate().skip(start) {
        match (place, byte) {
            (Place::Text, b'\\') => place = Place::Escape,
            (Place::Escape, _) => place = Place::Text,
            (Place::Text, b'"') => place = Place::Outside,
            (Place::Text, _) => {}
            (Place::Outside, b'"') => place = Place::Text,
            (Place::Outside, b'{' | b'[') => depth += 1,
            (Place::Outside, b'}' | b']') if depth > 0 => depth -= 1,
            (Place::Outside, b',') if depth == 0 => {
                items.push(body.slice(item_start..at));
                item_start = at + 1;
            }
            (Place::Outside, b']') => {
                let last = body.slice(item_start..at);
                if !last.trim_ascii().is_empty() || !items.is_empty() {
                    items.push(last);
                }
                return match body[at + 1..].trim_ascii().is_empty() {
                    true => Ok(items),
                    false => broken("something follows the array; send one array"),
                };
            }
            (Place::Outside, b'}') => return broken("a } closes nothing; send an array of objects"),
            (Place::Outside, _) => {}
        }
    }
    broken("the array is not closed; send the whole of it")
}

#[derive(Clone, Copy)]
enum Place {
    Outside,
    Text,
    /// Right after a backslash in a text.
    Escape,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Result<Vec<String>, &'static str> {
        let items = items(&Bytes::from(text.to_owned())).map_err(|error| error.code)?;
        Ok(items.iter().map(|item| String::from_utf8_lossy(item.trim_ascii()).into_owned()).collect())
    }

    #[test]
    fn a_bad_item_stays_by_itself() {
        assert_eq!(
            cut(r#" [ {"a":"],\"{"}, nonsense , [1,2],"x" ] "#).unwrap(),
            [r#"{"a":"],\"{"}"#, "nonsense", "[1,2]", r#""x""#]
        );
        assert_eq!(cut("[ ]").unwrap(), [""; 0]);
        assert_eq!(cut("[1,]").unwrap(), ["1", ""]);
        for text in ["[", "[1", "[1]]", "[}", "[\"a]", "[1] 2"] {
            assert_eq!(cut(text), Err("invalid_json"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_array_comes_apart_into_what_it_was_made_of(texts in proptest::collection::vec(".{0,12}", 0..6)) {
            let values: Vec<_> = texts.iter().map(|text| serde_json::json!({ text: [text, { "x": text }] })).collect();
            let cut = cut(&serde_json::to_string(&values).unwrap()).unwrap();
            let read: Vec<serde_json::Value> = cut.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = items(&Bytes::from(body));
        }
    }
}
