//! `ricochet job`: how far resends and late postbacks are, and the orders they take.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::Api;
use crate::cli::setup::output::Output;

/// What is asked of every job.
pub const FIELDS: &str = "jobId kind state note request ratePerSecond expected matched made hastened \
    skipped { reason sentence count } actorRole createdAt startedAt finishedAt";

/// Between looks at a job.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List the newest jobs.
    List {
        /// Most rows to show.
        #[arg(long, default_value_t = 50, value_name = "ROWS")]
        show: u16,
        #[command(flatten)]
        api: Api,
        #[command(flatten)]
        output: Output,
    },
    /// Show a job.
    Show(OneJob),
    /// Let a job rest.
    Pause(OneJob),
    /// Go on with a paused job.
    Resume(OneJob),
    /// End a job for good; what it has made is sent all the same.
    Cancel(OneJob),
    /// Wait until a job is over; exits with 1 where it was not done.
    Wait(OneJob),
}

#[derive(Debug, clap::Args)]
pub struct OneJob {
    /// The id that `ricochet job list` shows.
    job_id: Uuid,
    #[command(flatten)]
    api: Api,
    #[command(flatten)]
    output: Output,
}

pub async fn run(command: &JobCommand) -> anyhow::Result<ExitCode> {
    let (one, order) = match command {
        JobCommand::List { show, api, output } => {
            let query = format!(
                "query($first: Int) {{ deliveryJobs(first: $first) {{ edges {{ node {{ {FIELDS} }} }} }} }}"
            );
            let answer = api.ask("deliveryJobs", &query, json!({ "first": show })).await?;
            let jobs: Vec<Value> =
                answer["edges"].as_array().into_iter().flatten().map(|edge| edge["node"].clone()).collect();
            let columns = ["jobId", "kind", "state", "matched", "expected", "made", "createdAt", "note"];
            output.rows(&jobs, &columns)?;
            return Ok(ExitCode::SUCCESS);
        }
        JobCommand::Show(one) => {
            let job = get(&one.api, one.job_id).await?;
            one.output.row(&job)?;
            return Ok(ExitCode::SUCCESS);
        }
        JobCommand::Wait(one) => {
            let job = get(&one.api, one.job_id).await?;
            let job = until_over(&one.api, job).await?;
            one.output.row(&job)?;
            return Ok(if is_done(&job) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        JobCommand::Pause(one) => (one, "pauseJob"),
        JobCommand::Resume(one) => (one, "resumeJob"),
        JobCommand::Cancel(one) => (one, "cancelJob"),
    };
    let query = format!("mutation($id: ID!) {{ {order}(jobId: $id) {{ {FIELDS} }} }}");
    let job = one.api.ask(order, &query, json!({ "id": one.job_id })).await?;
    one.output.row(&job)?;
    Ok(ExitCode::SUCCESS)
}

async fn get(api: &Api, id: impl ToString) -> anyhow::Result<Value> {
    let query =
        format!("query($id: ID) {{ deliveryJobs(jobId: $id) {{ edges {{ node {{ {FIELDS} }} }} }} }}");
    let mut answer = api.ask("deliveryJobs", &query, json!({ "id": id.to_string() })).await?;
    let job = answer["edges"][0]["node"].take();
    anyhow::ensure!(!job.is_null(), "there is no such job; `ricochet job list` shows all");
    Ok(job)
}

/// Shows how far a job is until it is over, or rests.
pub async fn until_over(api: &Api, mut job: Value) -> anyhow::Result<Value> {
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len}")?;
    bar.set_style(style);
    let id = job["jobId"].as_str().unwrap_or_default().to_owned();
    while matches!(job["state"].as_str(), Some("PLANNED" | "RUNNING")) {
        if let Some(expected) = job["expected"].as_u64() {
            bar.set_length(expected);
        }
        bar.set_position(job["matched"].as_u64().unwrap_or(0));
        let note = job["note"].as_str().unwrap_or_default();
        bar.set_message(if note.is_empty() { "sending".to_owned() } else { note.to_owned() });
        tokio::time::sleep(LOOK).await;
        job = get(api, &id).await?;
    }
    bar.finish_and_clear();
    Ok(job)
}

/// One line of what a job came to.
pub fn summary(job: &Value) -> String {
    let count = |name: &str| job[name].as_u64().unwrap_or(0);
    let state = job["state"].as_str().unwrap_or_default().to_lowercase();
    let id = job["jobId"].as_str().unwrap_or_default();
    let mut line = format!(
        "job {id}: {state}, {} made, {} hastened, of {} looked at",
        count("made"),
        count("hastened"),
        count("matched"),
    );
    for skipped in job["skipped"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let sentence = skipped["sentence"].as_str().unwrap_or_default();
        line += &format!("\n  {} skipped: {sentence}", skipped["count"]);
    }
    line
}

pub fn is_done(job: &Value) -> bool {
    job["state"] == "DONE"
}
