//! Asking a server's GraphQL API.

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use url::Url;

#[derive(Debug, Args)]
pub struct Api {
    /// Address of the server.
    #[arg(long, env = "RICOCHET_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: Url,
    /// A token of `ricochet token create`: an owner's, an advertiser's or a partner's.
    #[arg(long, env = "RICOCHET_TOKEN", hide_env_values = true)]
    token: String,
}

impl Api {
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The value of a request's only field, or the server's own words of what is wrong.
    pub async fn ask(&self, field: &str, query: &str, variables: Value) -> anyhow::Result<Value> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/graphql", url.path().trim_end_matches('/')));
        let body = json!({ "query": query, "variables": variables });
        let request = reqwest::Client::new().post(url).bearer_auth(&self.token).json(&body);
        let answer = request.send().await.with_context(|| format!("{} does not answer", self.url))?;
        let status = answer.status();
        let mut body: Value =
            answer.json().await.with_context(|| format!("the server answered {status}, and no JSON"))?;
        let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !errors.is_empty() {
            let said = errors.iter().map(|error| error["message"].as_str().unwrap_or_default());
            bail!("{}", said.collect::<Vec<_>>().join("; "));
        }
        Ok(body["data"][field].take())
    }
}
