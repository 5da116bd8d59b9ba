//! `ricochet delivery|resend|job` and `ricochet postback send-past|test`: what is done with
//! deliveries by hand, through the GraphQL API of a running server, so with the rights of a token.

mod api;
pub mod delivery;
mod filter;
pub mod job;
pub mod resend;
pub mod send_past;
pub mod test_postback;

pub use api::Api;
pub use filter::LogFilter;

/// A GraphQL enum value of a word typed in any case.
fn constant(text: &str) -> Result<String, String> {
    let text = text.trim().to_uppercase().replace('-', "_");
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if is_word { Ok(text) } else { Err("write a word, such as failed".into()) }
}
