//! `--log`: how long the questions that dashboards ask take, over HTTP, on the rows the server has.
//!
//! Fill it first, with `ricochet seed`. Each question is asked warm: some rounds go by unmeasured,
//! and each round asks it of a large, a middling and a small partner or offer.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::Settings;
use super::probe::load_average;
use crate::graphql::scope::Grant;
use crate::store::{pool, tokens};

/// Rows that the targets are set for.
const EXPECTED_ROWS: u64 = 20_000_000;
const WARM_UP_ROUNDS: usize = 3;
const PAGE_DAYS: i64 = 30;
const MINUTES_DAYS: i64 = 7;
/// The longest an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

const PAGE: &str = "query ($filter: PostbackLogFilter!) { postbackLog(filter: $filter, first: 50) { totalCount \
    pageInfo { hasNextPage endCursor } edges { cursor node { attemptId deliveryId leadId clickId txid event status \
    outcome reason errorKind attempt responseCode method url offerId partnerId advertiserId postbackId startedAt \
    queuedUs totalUs } } } }";
const MINUTES: &str = "query ($filter: PostbackLogFilter!) { postbackStats(filter: $filter, bucket: MINUTE) { \
    rows { bucket attempts delivered retrying failed skipped } } }";
const MINUTE_QUANTILES: &str = "query ($filter: PostbackLogFilter!) { timings(filter: $filter, bucket: MINUTE) { \
    rows { bucket attempts total { p50Us p95Us p99Us } } } }";
const QUANTILES: &str = "query ($filter: PostbackLogFilter!) { timings(filter: $filter, groupBy: [PARTNER]) { \
    rows { partnerId attempts total { p50Us p90Us p95Us p99Us } } } }";
const PARTNERS: &str = "query ($filter: PostbackLogFilter!) { postbackStats(filter: $filter, groupBy: [PARTNER], \
    limit: 1000) { rows { id: partnerId } } }";
const OFFERS: &str = "query ($filter: PostbackLogFilter!) { postbackStats(filter: $filter, groupBy: [OFFER], \
    limit: 1000) { rows { id: offerId } } }";

#[derive(Debug, Serialize)]
pub struct LogReport {
    server: String,
    rows: u64,
    rounds: usize,
    cpus: usize,
    processor: String,
    memory_kib: u64,
    load_average_before: Option<[f64; 3]>,
    load_average_after: Option<[f64; 3]>,
    questions: Vec<Answered>,
}

#[derive(Debug, Serialize)]
struct Answered {
    question: &'static str,
    asked: usize,
    median_ms: f64,
    p99_ms: f64,
    largest_answer_bytes: usize,
    target_median_ms: f64,
    is_met: bool,
}

/// A question with the values it is asked of, in turn.
struct Question {
    name: &'static str,
    query: &'static str,
    filters: Vec<Value>,
    target_median_ms: f64,
}

pub async fn run(settings: &Settings) -> anyhow::Result<LogReport> {
    let pool = pool::build(&settings.database_url, 1)?;
    let token = tokens::create(&pool, Grant::Owner, "bench of the log").await?;
    let measured = measure(settings, &token.secret).await;
    tokens::revoke(&pool, token.token.token_id).await?;
    measured
}

async fn measure(settings: &Settings, token: &str) -> anyhow::Result<LogReport> {
    let door = Door {
        client: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?,
        url: format!("{}/graphql", settings.server),
        token: token.to_owned(),
    };
    let rows = door.rows().await?;
    if rows == 0 {
        bail!(
            "the log of {} is empty; fill it with `ricochet seed --clicks 10000000 --log-only`",
            settings.server
        );
    }
    let questions = questions(&door).await?;
    let load_average_before = load_average();
    let mut answered = Vec::new();
    for question in questions {
        answered.push(door.time(&question, settings.rounds).await?);
    }
    Ok(LogReport {
        server: settings.server.to_string(),
        rows,
        rounds: settings.rounds,
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        processor: first_of("/proc/cpuinfo", "model name"),
        memory_kib: first_of("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0),
        load_average_before,
        load_average_after: load_average(),
        questions: answered,
    })
}

async fn questions(door: &Door) -> anyhow::Result<Vec<Question>> {
    let now = Utc::now();
    let within = |days: i64, more: Value| {
        let mut filter = json!({ "from": text(now - TimeDelta::days(days)), "to": text(now) });
        if let (Some(filter), Value::Object(more)) = (filter.as_object_mut(), more) {
            filter.extend(more);
        }
        filter
    };
    let partners = sizes(door.ids(PARTNERS, within(PAGE_DAYS, json!({}))).await?, "partner")?;
    let offers = sizes(door.ids(OFFERS, within(PAGE_DAYS, json!({}))).await?, "offer")?;
    let statuses = ["APPROVED", "HOLD", "REJECTED"];
    let each = |filter: &dyn Fn(usize) -> Value| (0..3).map(filter).collect::<Vec<Value>>();
    let mut pairs = Vec::new();
    for partner in &partners {
        for offer in &offers {
            pairs.push(within(PAGE_DAYS, json!({ "partnerIds": [partner], "offerIds": [offer] })));
        }
    }
    Ok(vec![
        Question {
            name: "page of the log and total, by status and partner, 30 days",
            query: PAGE,
            filters: each(&|n| {
                within(PAGE_DAYS, json!({ "statuses": [statuses[n]], "partnerIds": [partners[n]] }))
            }),
            target_median_ms: 100.0,
        },
        Question {
            name: "page of the log and total, by status and offer, 30 days",
            query: PAGE,
            filters: each(&|n| {
                within(PAGE_DAYS, json!({ "statuses": [statuses[n]], "offerIds": [offers[n]] }))
            }),
            target_median_ms: 100.0,
        },
        Question {
            name: "page of the log and total, by offer and partner, 30 days",
            query: PAGE,
            filters: pairs,
            target_median_ms: 100.0,
        },
        Question {
            name: "counts by minute over 7 days",
            query: MINUTES,
            filters: vec![within(MINUTES_DAYS, json!({}))],
            target_median_ms: 150.0,
        },
        Question {
            name: "counts and quantiles by minute over 7 days",
            query: MINUTE_QUANTILES,
            filters: vec![within(MINUTES_DAYS, json!({}))],
            target_median_ms: 150.0,
        },
        Question {
            name: "quantiles by partner over 30 days",
            query: QUANTILES,
            filters: vec![within(PAGE_DAYS, json!({}))],
            target_median_ms: 300.0,
        },
    ])
}

/// The largest, the middle one and the smallest.
fn sizes(ids: Vec<String>, what: &str) -> anyhow::Result<[String; 3]> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        bail!("the log has no attempts of any {what} within {PAGE_DAYS} days");
    };
    Ok([first.clone(), ids[ids.len() / 2].clone(), last.clone()])
}

struct Door {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Door {
    async fn ask(&self, query: &str, filter: &Value) -> anyhow::Result<Vec<u8>> {
        let body = json!({ "query": query, "variables": { "filter": filter } }).to_string();
        let response = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .bearer_auth(&self.token)
            .body(body)
            .send()
            .await
            .with_context(|| format!("{} does not answer; is the server running?", self.url))?;
        Ok(response.bytes().await?.to_vec())
    }

    /// The data of an answer without errors.
    async fn data(&self, query: &str, filter: &Value) -> anyhow::Result<Value> {
        let answer: Value = serde_json::from_slice(&self.ask(query, filter).await?)?;
        match answer.get("errors") {
            Some(errors) => bail!("the server answers {errors}"),
            None => Ok(answer["data"].clone()),
        }
    }

    async fn rows(&self) -> anyhow::Result<u64> {
        let query =
            "query ($filter: PostbackLogFilter!) { postbackLog(filter: $filter, first: 1) { totalCount } }";
        let data = self.data(query, &json!({ "includeTests": true })).await?;
        data["postbackLog"]["totalCount"].as_u64().context("the server does not count its log")
    }

    async fn ids(&self, query: &str, filter: Value) -> anyhow::Result<Vec<String>> {
        let data = self.data(query, &filter).await?;
        let rows = data["postbackStats"]["rows"].as_array().context("the server gives no statistics")?;
        Ok(rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect())
    }

    async fn time(&self, question: &Question, rounds: usize) -> anyhow::Result<Answered> {
        for filter in &question.filters {
            for _ in 0..WARM_UP_ROUNDS {
                self.data(question.query, filter).await.with_context(|| question.name)?;
            }
        }
        let mut times_ms = Vec::new();
        let mut largest_answer_bytes = 0;
        for _ in 0..rounds {
            for filter in &question.filters {
                let began = Instant::now();
                let answer = self.ask(question.query, filter).await?;
                times_ms.push(began.elapsed().as_secs_f64() * 1_000.0);
                largest_answer_bytes = largest_answer_bytes.max(answer.len());
            }
        }
        times_ms.sort_by(f64::total_cmp);
        let at = |share: f64| times_ms[((times_ms.len() - 1) as f64 * share).round() as usize];
        let median_ms = at(0.5);
        Ok(Answered {
            question: question.name,
            asked: times_ms.len(),
            median_ms,
            p99_ms: at(0.99),
            largest_answer_bytes,
            target_median_ms: question.target_median_ms,
            is_met: median_ms < question.target_median_ms,
        })
    }
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What the system says of itself; empty where it does not.
fn first_of(file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

impl LogReport {
    /// Whether all targets are met, on as many rows as they are set for.
    pub fn is_sound(&self) -> bool {
        self.rows >= EXPECTED_ROWS && self.questions.iter().all(|answered| answered.is_met)
    }
}

impl Display for LogReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let load = |load: Option<[f64; 3]>| load.map_or_else(String::new, |load| format!("{:.2}", load[0]));
        writeln!(
            f,
            "the log of {}: {} attempts, {} rounds, warm, over HTTP",
            self.server, self.rows, self.rounds
        )?;
        writeln!(
            f,
            "{} x {}, {} MiB; load average {} before, {} after\n",
            self.cpus,
            self.processor,
            self.memory_kib / 1_024,
            load(self.load_average_before),
            load(self.load_average_after)
        )?;
        writeln!(f, "{:<58} {:>6} {:>10} {:>10} {:>10}", "milliseconds", "asked", "median", "p99", "target")?;
        for answered in &self.questions {
            writeln!(
                f,
                "{:<58} {:>6} {:>10.1} {:>10.1} {:>10.0}  {}",
                answered.question,
                answered.asked,
                answered.median_ms,
                answered.p99_ms,
                answered.target_median_ms,
                if answered.is_met { "met" } else { "MISSED" }
            )?;
        }
        if self.rows < EXPECTED_ROWS {
            writeln!(f, "\nThe targets are set for {EXPECTED_ROWS} attempts; seed more.")?;
        }
        Ok(())
    }
}
