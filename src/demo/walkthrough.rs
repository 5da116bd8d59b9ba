//! The main job, shown once: click → conversion → postback → log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::file::DemoFile;

/// How long each step may take before the demo says that something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub async fn show(demo: &DemoFile) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let (link, offer, advertiser) = parts(demo)?;
    println!("\nRicochet is up. One conversion, all the way:\n");

    let click_url = format!("{}?sub1=demo&format=json", link.url);
    println!("1. A visitor follows the partner's link (without format=json it answers 302):");
    println!("   curl '{click_url}'");
    let click: Value = client.get(&click_url).send().await?.error_for_status()?.json().await?;
    println!("   → {click}\n");

    let click_id = click["click_id"].as_str().context("the click has no id")?;
    let request_id = format!("demo-{}", chrono::Utc::now().timestamp_millis());
    let conversion_url = format!(
        "{}/{}/s2s?click_id={click_id}&request_id={request_id}&action={}&status=approved&price=79.90",
        demo.base_url, advertiser.api_key, offer.actions[0].name
    );
    println!("2. The advertiser's server reports a conversion:");
    println!("   curl '{conversion_url}'");
    let answer: Value = client.get(&conversion_url).send().await?.error_for_status()?.json().await?;
    println!("   → {answer}\n");
    let lead_id = answer["lead_id"].as_str().context("the conversion was not taken")?;

    let received_url = format!("{}/received?txid={request_id}", demo.tracker_url);
    println!("3. The partner's tracker received the postback:");
    println!("   curl '{received_url}'");
    let received = until("the tracker received nothing", || async {
        let received: Value = client.get(&received_url).send().await?.json().await?;
        let first =
            received.as_array().and_then(|all| all.iter().find(|one| !one["query"]["clickid"].is_null()));
        Ok(first.cloned())
    })
    .await?;
    println!("   → {} {} {}\n", received["method"], received["path"], received["query"]);

    let query = format!(
        "{{ postbackLog(filter: {{leadId: \"{lead_id}\"}}) {{ totalCount edges {{ node {{ \
         event status outcome attempt responseCode totalUs url }} }} }} }}"
    );
    let body = json!({ "query": query });
    println!("4. The attempt is in the log, read through GraphQL:");
    println!("   curl {}/graphql -H 'Authorization: Bearer {}' \\", demo.base_url, demo.owner_token);
    println!("     -H 'Content-Type: application/json' -d '{body}'");
    let log = until("the log shows nothing", || async {
        let request = client.post(format!("{}/graphql", demo.base_url)).bearer_auth(&demo.owner_token);
        let answer: Value = request.json(&body).send().await?.json().await?;
        shown_log(&answer)
    })
    .await?;
    println!("   → {log}\n");
    print_directory(demo);
    Ok(())
}

/// The log an answer holds; `None` while it is empty, or cannot be read yet: the server takes
/// conversions before ClickHouse has its tables.
fn shown_log(answer: &Value) -> anyhow::Result<Option<Value>> {
    if answer["errors"][0]["extensions"]["code"] == "LOG_UNAVAILABLE" {
        return Ok(None);
    }
    if let Some(errors) = answer.get("errors") {
        bail!("GraphQL answered {errors}");
    }
    let log = &answer["data"]["postbackLog"];
    Ok((log["totalCount"].as_i64() > Some(0)).then(|| log.clone()))
}

type Parts<'a> = (&'a super::file::DemoLink, &'a super::file::DemoOffer, &'a super::file::DemoAdvertiser);

/// The first link with its offer and advertiser.
fn parts(demo: &DemoFile) -> anyhow::Result<Parts<'_>> {
    let link = demo.links.first().context("the demo has no link")?;
    let offer =
        demo.offers.iter().find(|offer| offer.id == link.offer_id).context("the link has no offer")?;
    let advertiser = demo
        .advertisers
        .iter()
        .find(|advertiser| advertiser.id == offer.advertiser_id)
        .context("the offer has no advertiser")?;
    Ok((link, offer, advertiser))
}

async fn until<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    complaint: &str,
    look: impl Fn() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{complaint} within {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn print_directory(demo: &DemoFile) {
    println!("What opens which door (also in demo.json):");
    println!("   GraphiQL      {}/graphql", demo.base_url);
    println!("   demo tracker  {}/", demo.tracker_url);
    println!("   owner token   {}", demo.owner_token);
    println!("   bi token      {}", demo.bi_token);
    for advertiser in &demo.advertisers {
        println!(
            "   advertiser    {:<18} key {}  token {}",
            advertiser.name, advertiser.api_key, advertiser.token
        );
    }
    for partner in &demo.partners {
        println!("   partner       {:<18} token {}", partner.name, partner.token);
    }
    for offer in &demo.offers {
        let actions: Vec<&str> = offer.actions.iter().map(|action| action.name.as_str()).collect();
        println!(
            "   offer         {:<18} {} {} ({})",
            offer.name,
            offer.id,
            offer.payout_model,
            actions.join(", ")
        );
    }
    for link in &demo.links {
        let name =
            |id| demo.partners.iter().find(|partner| partner.id == id).map_or("", |partner| &partner.name);
        println!("   link          {:<18} {}", name(link.partner_id), link.url);
    }
    println!("   PostgreSQL    {}", demo.database_url);
    println!("   ClickHouse    {}", demo.clickhouse_url);
    println!("\nCtrl-C stops everything; the next start keeps the data.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_not_there_yet_is_waited_for() {
        let failed = |code| json!({ "data": null, "errors": [{ "extensions": { "code": code } }] });
        assert_eq!(shown_log(&failed("LOG_UNAVAILABLE")).unwrap(), None);
        assert!(shown_log(&failed("UNAUTHENTICATED")).is_err());
        let log = |rows| json!({ "totalCount": rows });
        let answer = |rows| json!({ "data": { "postbackLog": log(rows) } });
        assert_eq!(shown_log(&answer(0)).unwrap(), None);
        assert_eq!(shown_log(&answer(1)).unwrap(), Some(log(1)));
    }
}
