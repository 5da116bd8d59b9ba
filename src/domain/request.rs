//! A postback's request, filled in and ready to be sent.

use super::coded::coded_enum;

coded_enum! {
    /// How a destination is called.
    Method {
        Get = "GET",
        Post = "POST",
        Put = "PUT",
    }
}

/// What is sent, before it is checked that it may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedRequest {
    pub method: Method,
    pub url: String,
    /// Names and values, in the order they are sent in.
    pub headers: Vec<(String, String)>,
    /// Empty: none.
    pub body: String,
}

impl RenderedRequest {
    pub fn get(url: String) -> Self {
        Self { method: Method::Get, url, headers: Vec::new(), body: String::new() }
    }
}
