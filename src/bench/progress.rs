//! The bar on the terminal; nothing where standard error is none.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::ledger::Ledger;
use super::schedule::{Extent, Pace, Plan};

const REDRAW: Duration = Duration::from_millis(200);

/// Drawn until dropped.
pub struct Progress {
    bar: ProgressBar,
    /// `None` where there is no terminal to draw on.
    redraw: Option<JoinHandle<()>>,
}

impl Progress {
    pub fn start(ledger: Arc<Ledger>, plan: &Plan) -> Self {
        // Hidden by itself where standard error is no terminal.
        let bar = match expected_conversions(plan) {
            Some(conversions) => ProgressBar::new(conversions).with_style(style("{wide_bar} {pos}/{len}")),
            None => ProgressBar::no_length().with_style(style("{spinner}")),
        };
        if bar.is_hidden() {
            return Self { bar, redraw: None };
        }
        let drawn = bar.clone();
        let redraw = tokio::spawn(async move {
            let mut ticks = interval(REDRAW);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let accepted = ledger.accepted();
                drawn.set_position(accepted);
                drawn.set_message(format!("accepted {accepted}, delivered {}", ledger.arrived_pairs()));
            }
        });
        Self { bar, redraw: Some(redraw) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(redraw) = &self.redraw {
            redraw.abort();
        }
        self.bar.finish_and_clear();
    }
}

fn style(shape: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{elapsed_precise}} {shape} {{msg}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How many there will be, where the plan fixes it.
fn expected_conversions(plan: &Plan) -> Option<u64> {
    let Pace::Open { rate_per_second } = plan.pace else { return None };
    let rate = u64::from(rate_per_second);
    let warmup = plan.warmup.as_secs() * rate;
    Some(match plan.extent {
        Extent::Duration(duration) => warmup + duration.as_secs() * rate,
        Extent::Conversions(conversions) => warmup + conversions,
    })
}
