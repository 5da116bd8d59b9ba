//! ClickHouse asked directly over HTTP, as a user of one's choice.

use reqwest::{Body, Client};
use serde_json::Value;
use url::Url;

use super::server::client;

/// One user's way to one database.
pub struct ClickHouseUser {
    url: Url,
    client: Client,
}

impl ClickHouseUser {
    /// Of a URL with user, password and, as its path, the database.
    pub fn of(url: &str) -> Self {
        Self { url: url.parse().unwrap(), client: client() }
    }

    /// Status and text of the answer.
    pub async fn ask(&self, statement: &str) -> (u16, String) {
        self.ask_with(statement, &[]).await
    }

    /// The same with values for the parameters of the statement.
    pub async fn ask_with(&self, statement: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let parameters: Vec<(String, &str)> =
            parameters.iter().map(|(name, value)| (format!("param_{name}"), *value)).collect();
        self.post(&parameters, statement.to_owned()).await
    }

    /// The same with data behind the statement.
    pub async fn send(&self, statement: &str, data: impl Into<Body>) -> (u16, String) {
        self.post(&[("query".to_owned(), statement)], data).await
    }

    async fn post(&self, parameters: &[(String, &str)], body: impl Into<Body>) -> (u16, String) {
        let mut url = self.url.join("/").unwrap();
        url.set_username("").unwrap();
        url.set_password(None).unwrap();
        url.query_pairs_mut().append_pair("database", self.url.path().trim_matches('/'));
        for (name, value) in parameters {
            url.query_pairs_mut().append_pair(name, value);
        }
        let request = self
            .client
            .post(url)
            .header("X-ClickHouse-User", self.url.username())
            .header("X-ClickHouse-Key", self.url.password().unwrap_or_default())
            .body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap().trim().to_owned())
    }

    /// The text of an answer that must succeed.
    pub async fn text(&self, statement: &str) -> String {
        let (status, answer) = self.ask(statement).await;
        assert_eq!(status, 200, "{statement}: {answer}");
        answer
    }

    /// The rows of a statement that must succeed, as objects.
    pub async fn rows(&self, statement: &str) -> Vec<Value> {
        let answer = self.text(&format!("{statement}\nFORMAT JSON")).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["data"].as_array().unwrap().clone()
    }

    /// The lines of the answer: the values, where one column is asked for.
    pub async fn lines(&self, statement: &str) -> Vec<String> {
        self.text(statement).await.lines().map(str::to_owned).collect()
    }
}
