//! What somebody says to a change by hand; it stays in the histories and logs.

/// Longest note, in characters.
const CHARS: usize = 500;

/// The note without blanks around it.
///
/// # Errors
/// What to write instead, where it says nothing or could not be shown in a line.
pub fn checked(text: &str) -> Result<&str, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("say why; it stays in the log".into());
    }
    if text.chars().any(char::is_control) {
        return Err("leave out line breaks and other control characters".into());
    }
    if text.chars().count() > CHARS {
        return Err(format!("write at most {CHARS} characters"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_something_in_one_line() {
        assert_eq!(checked(" agreed "), Ok("agreed"));
        for wrong in ["", " ", "a\nb", "a\u{1b}[2J", &"x".repeat(501)] {
            assert!(checked(wrong).is_err(), "{wrong:?}");
        }
    }
}
