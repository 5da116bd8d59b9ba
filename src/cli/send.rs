//! `ricochet send`: one conversion through the door an advertiser uses.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use url::Url;

use super::block_on;

#[derive(Debug, Args)]
pub struct SendArgs {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// The advertiser's API key.
    #[arg(long)]
    api_key: String,
    /// Our click id, or the partner's own.
    #[arg(long)]
    click_id: String,
    /// The advertiser's id of this conversion.
    #[arg(long)]
    request_id: String,
    /// Name of the action.
    #[arg(long)]
    action: String,
    /// Status word, such as hold, approved or rejected.
    #[arg(long, default_value = "approved")]
    status: String,
    /// Full sum, before commission.
    #[arg(long)]
    price: Option<String>,
    /// Currency of the sum, such as USD.
    #[arg(long)]
    currency: Option<String>,
    /// Mark the conversion as a test, which statistics leave out.
    #[arg(long)]
    test: bool,
    /// Any further parameter, as name=value; may be repeated.
    #[arg(long = "field", value_name = "NAME=VALUE")]
    fields: Vec<String>,
}

/// Prints the answer. The exit code is 0 when the conversion was taken.
pub fn run(args: &SendArgs) -> anyhow::Result<ExitCode> {
    let mut url = args.url.join(&format!("/{}/s2s", args.api_key)).context("--url")?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("click_id", &args.click_id).append_pair("request_id", &args.request_id);
        query.append_pair("action", &args.action).append_pair("status", &args.status);
        for (name, value) in [("price", &args.price), ("currency", &args.currency)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if args.test {
            query.append_pair("test", "1");
        }
        for field in &args.fields {
            let (name, value) = field.split_once('=').context("--field is written NAME=VALUE")?;
            query.append_pair(name, value);
        }
    }
    let (is_taken, body) = block_on(async {
        let response = reqwest::Client::new().get(url).send().await.map_err(reqwest::Error::without_url)?;
        let is_taken = response.status().is_success();
        Ok((is_taken, response.text().await.map_err(reqwest::Error::without_url)?))
    })?;
    println!("{body}");
    Ok(if is_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
