//! Secrets that stand in the path of a URL, such as a tracker's key in `/a1b2c3d/postback`.
//!
//! A parameter says by its name that it is a secret, a path does not. What is known is which of its
//! segments are fixed: those that hold no macro. A fixed segment is the same in every request, so the
//! log loses nothing by not showing it, and whoever made the postback can read it there. So one that is
//! drawn rather than worded is taken for a key: better a version hidden than a key shown.

use super::redact::{REDACTED, is_secret};

/// Shortest segment that is taken for a key by its looks.
const LEAST_CHARS: usize = 6;
/// A segment without digits is only so long where it is no word.
const LONGEST_WORD: usize = 20;

/// The fixed segments of a template's path that are, or may well be, secret.
pub fn path_secrets(url_template: &str) -> Vec<String> {
    let path = fixed_path(url_template);
    let segments: Vec<&str> = path.split('/').collect();
    let mut secrets: Vec<String> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        if segment.contains(MACRO) || segment.is_empty() {
            continue;
        }
        let named = index.checked_sub(1).is_some_and(|before| is_secret(segments[before]));
        let next = segments.get(index + 1).copied().unwrap_or_default();
        let has_digit = segment.bytes().any(|byte| byte.is_ascii_digit());
        // As Keitaro has it.
        let is_before_postback =
            next == "postback" && has_digit && segment.len() >= LEAST_CHARS && !segment.contains('.');
        if (named || is_before_postback || looks_drawn(segment)) && !secrets.iter().any(|one| one == segment)
        {
            secrets.push((*segment).to_owned());
        }
    }
    secrets
}

/// A URL with those segments of its path replaced.
pub fn redact_path(url: &str, secrets: &[String]) -> String {
    if secrets.is_empty() {
        return url.to_owned();
    }
    let (start, path, rest) = split(url);
    let shown = |segment: &str| match secrets.iter().any(|secret| secret == segment) {
        true => REDACTED.to_owned(),
        false => segment.to_owned(),
    };
    let path: Vec<String> = path.split('/').map(shown).collect();
    format!("{start}{}{rest}", path.join("/"))
}

/// What stands for a macro in [`fixed_path`]; no URL has it.
const MACRO: char = '{';

/// The path of a template, each macro one [`MACRO`].
fn fixed_path(url_template: &str) -> String {
    let mut text = String::with_capacity(url_template.len());
    let mut depth = 0_usize;
    for char in url_template.chars() {
        match char {
            '{' if depth == 0 => {
                depth = 1;
                text.push(MACRO);
            }
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            other if depth == 0 => text.push(other),
            _ => {}
        }
    }
    let (_, path, _) = split(&text);
    path.to_owned()
}

/// Scheme and host, path, and what follows it. A path alone, as redirects name it, is one too.
fn split(url: &str) -> (&str, &str, &str) {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let from = url[after_scheme..].find(['/', '?', '#']).map_or(url.len(), |at| after_scheme + at);
    let (start, rest) = url.split_at(from);
    let (path, rest) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    (start, path, rest)
}

/// Whether a segment looks drawn at random, and not like a word, a word with a number (`tracking202`), a
/// version or a file.
fn looks_drawn(segment: &str) -> bool {
    let is_plain = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~:=+".contains(&byte));
    if !is_plain || segment.len() < LEAST_CHARS {
        return false;
    }
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        // `sendPostback` has a capital here and there, what is drawn has them everywhere.
        let capitals = segment.bytes().filter(u8::is_ascii_uppercase).count();
        let is_mixed = capitals * 4 >= segment.len() && capitals * 4 <= segment.len() * 3;
        let is_one_run = segment.bytes().all(|byte| byte.is_ascii_alphabetic());
        return is_one_run && segment.len() > if is_mixed { LONGEST_WORD / 2 } else { LONGEST_WORD };
    }
    // Words with numbers at their ends, apart by signs: `tracking202`, `api-v2`, `step_1`.
    let is_word_with_number = |part: &str| {
        let word = part.trim_end_matches(|char: char| char.is_ascii_digit());
        part.len() - word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    !segment.split(['-', '_', '~', ':', '=', '+']).all(is_word_with_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_told_from_words() {
        for (template, expected) in [
            ("https://t.example/a1b2c3d/postback?subid={clickid}", vec!["a1b2c3d"]),
            ("https://t.example/abcdef7/postback?subid={clickid}", vec!["abcdef7"]),
            (
                "https://t.example/api/postbacks/0198d5f0-0000-7000-8000-000000000000/tracker-postback?x={sub1}",
                vec!["0198d5f0-0000-7000-8000-000000000000"],
            ),
            ("https://t.example/postback/k3y9x1q/{clickid}/{status|map:a=9b8c7d6e,*=x}", vec!["k3y9x1q"]),
            ("https://t.example/hook/Token/abc/x", vec!["abc"]),
            (
                "https://hooks.example/services/T00000000/B11111111/XxYyZzWwVvUuTtSs",
                vec!["T00000000", "B11111111", "XxYyZzWwVvUuTtSs"],
            ),
            ("https://api.example/bot123456:AbC-dEf/sendMessage?text={payout}", vec!["bot123456:AbC-dEf"]),
            ("https://t.example/sendPostback/ConversionsAndMore/x", vec![]),
            ("https://t.example/tracking202/static/gpb.php?amount={payout}", vec![]),
            ("https://t.example/api/v2/conversions/step_1/cf/cv?click_id={clickid}", vec![]),
            ("https://t.example/conversions-2026/{clickid}", vec![]),
            ("https://t.example/x{clickid}a1b2c3d4/y", vec![]),
            ("https://a1b2c3d4.example/postback?k=a1b2c3d", vec![]),
            ("https://t.example?x=1/a1b2c3d/postback", vec![]),
        ] {
            assert_eq!(path_secrets(template), expected, "{template}");
        }
    }

    #[test]
    fn only_whole_segments_of_the_path_are_replaced() {
        let secrets = ["a1b2c3d".to_owned()];
        for (url, shown) in [
            ("https://a1b2c3d/a1b2c3d/postback?x=a1b2c3d", "https://a1b2c3d/[redacted]/postback?x=a1b2c3d"),
            ("https://t.example/xa1b2c3d#/a1b2c3d", "https://t.example/xa1b2c3d#/a1b2c3d"),
            ("/a1b2c3d/new", "/[redacted]/new"),
            ("", ""),
        ] {
            assert_eq!(redact_path(url, &secrets), shown);
        }
        assert_eq!(redact_path("https://t.example/a1b2c3d/", &[]), "https://t.example/a1b2c3d/");
    }

    proptest! {
        /// Of a key with a digit before `postback`, nothing is shown, whatever stands around it.
        #[test]
        fn a_key_of_a_path_is_never_shown(key in "[a-f0-9]{8,32}", before in "(/[a-z]{1,5}){0,3}", query in "[a-z=&]{0,9}") {
            prop_assume!(key.bytes().any(|byte| byte.is_ascii_digit()));
            let url = format!("https://t.example{before}/{key}/postback?{query}");
            let shown = redact_path(&url, &path_secrets(&url));
            prop_assert!(!shown.contains(&key), "{shown}");
            // A word such as `pwd` before it makes what follows that word a secret too.
            if !before.split('/').any(is_secret) {
                prop_assert_eq!(shown, format!("https://t.example{before}/[redacted]/postback?{query}"));
            }
        }

        #[test]
        fn nothing_else_is_changed(url in "[a-z:/?#{}%A-Z0-9.]{0,40}") {
            let secrets = path_secrets(&url);
            prop_assert_eq!(redact_path(&url, &[]), url.clone());
            prop_assert!(redact_path(&url, &secrets).replace(REDACTED, "").len() <= url.len());
        }
    }
}
