//! A postback's request, filled in and ready to be sent.

use super::coded::coded_enum;
use super::path_secrets::redact_path;
use super::redact::{is_long_enough_to_be_found, redact_url, secret_values};

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
    /// Segments of the URL's path that are no log's business; see [`super::path_secrets`].
    pub path_secrets: Vec<String>,
}

impl RenderedRequest {
    /// Its URL without secrets, as logs show it.
    pub fn shown_url(&self) -> String {
        let shown = redact_url(&self.url);
        if self.path_secrets.is_empty() { shown } else { redact_path(&shown, &self.path_secrets) }
    }

    /// What its receiver may not be quoted with, should it repeat what it was asked by.
    pub fn secrets(&self) -> Vec<String> {
        let of_path = self.path_secrets.iter().filter(|secret| is_long_enough_to_be_found(secret)).cloned();
        of_path.chain(secret_values(&self.url, &self.headers)).collect()
    }

    pub fn get(url: String) -> Self {
        Self { method: Method::Get, url, headers: Vec::new(), body: String::new(), path_secrets: Vec::new() }
    }
}
