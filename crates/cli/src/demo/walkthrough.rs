//! Walkthrough: the events of one batch, step by step, and the list of its teacher after each.

use std::collections::BTreeSet;
use std::time::Duration;

use aggregator::print_line;
use anyhow::{Context as _, ensure};
use console::style;
use projection::EventKind;
use serde_json::Value;
use simulate::{Shares, SimulatedRecord, SimulationOptions, life_of};

use super::client::{Answer, Client};
use super::expected::Expected;

/// Number of essays in the batch: few enough to follow.
const ESSAYS: usize = 3;
/// Largest batches among which one of that size is looked for.
const ESSAYS_MAX: u32 = 8;

/// Sends the events of a batch and reads the list before and after each: cached, then up to date.
/// Gives the id of the batch.
pub(super) async fn run(
    client: &Client,
    teacher_number: u32,
    options: &SimulationOptions,
) -> anyhow::Result<String> {
    let life = small_life(teacher_number, options);
    let (teacher, batch) = (life[0].user_id.to_string(), life[0].batch_id.to_string());
    print_line!("\n{}", style(format!("The list of {teacher}:")).bold());
    print_row("step", "time", "cache", "batches", "the newest one");
    for step in ["read", "read again"] {
        let answer = client.list(&teacher, "").await?;
        print_answer(step, &answer, state(answer.newest()));
    }
    let mut expected = Expected::default();
    let mut shown = BTreeSet::new();
    for record in &life {
        let took = client.post(record).await?;
        let newest = expected.after(record)?.context("the batch is registered first")?;
        let answer = client.list(&teacher, "").await?;
        ensure!(*answer.newest() == newest, "the list does not show {}", describe(record.topic));
        // Only the first event of each kind. The outcome of a phase shows nothing that the last
        // result of the phase has not shown.
        let is_visible = record.topic != EventKind::BatchPhaseOutcome;
        if is_visible && shown.insert(record.topic) {
            print_event(describe(record.topic), took);
            print_answer("read at once", &answer, change(record.topic, &newest));
        }
    }
    Ok(batch)
}

/// Events of the first batch of the wanted size, without failures or late records.
fn small_life(teacher_number: u32, options: &SimulationOptions) -> Vec<SimulatedRecord> {
    let mut options = SimulationOptions {
        essays_max: ESSAYS_MAX,
        shares: Shares::UNDISTURBED,
        ..options.clone()
    };
    loop {
        let life = life_of(teacher_number, options.clone());
        let files = life.iter().filter(|record| record.topic == EventKind::EssaySlotAssigned);
        if files.count() == ESSAYS {
            return life;
        }
        options.seed = options.seed.wrapping_add(1);
    }
}

/// What the event says, for people.
fn describe(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BatchEssaysRegistered => "a batch is registered",
        EventKind::EssaySlotAssigned => "a file is assigned",
        EventKind::SpellcheckResult => "an essay is checked",
        EventKind::BatchPhaseOutcome => "a phase ends",
        EventKind::AssessmentResult => "the essays are ranked",
        EventKind::BatchPipelineCompleted => "the batch is completed",
    }
}

/// What the event changed in the batch, for people.
fn change(kind: EventKind, batch: &Value) -> String {
    let essays = || batch["essays"].as_array().into_iter().flatten();
    let all = |field: &'static str| essays().filter_map(move |essay| essay[field].as_str());
    match kind {
        EventKind::EssaySlotAssigned => all("filename").collect(),
        EventKind::SpellcheckResult => {
            format!("{}, {} checked", state(batch), all("spellcheck_status").count())
        }
        EventKind::AssessmentResult => {
            let ranks = essays().filter_map(|essay| essay["cj_rank"].as_u64());
            let ranks: Vec<_> = ranks.map(|rank| rank.to_string()).collect();
            format!("{}, ranks {}", state(batch), ranks.join(" "))
        }
        EventKind::BatchPipelineCompleted => {
            format!("completed {}", batch["processing_completed_at"].as_str().unwrap_or_default())
        }
        EventKind::BatchEssaysRegistered | EventKind::BatchPhaseOutcome => state(batch),
    }
}

fn state(batch: &Value) -> String {
    batch["overall_status"].as_str().unwrap_or_default().to_owned()
}

fn print_row(step: &str, time: &str, cache: &str, batches: &str, newest: &str) {
    print_line!("  {step:<23}{time:>9}   {cache:<29}{batches:<9}{newest}");
}

fn print_answer(step: &str, answer: &Answer, newest: String) {
    let batches = answer.total().to_string();
    print_row(step, &milliseconds(answer.took), &answer.cache_status, &batches, &newest);
}

fn print_event(step: &str, took: Duration) {
    let row =
        format!("  {step:<23}{:>9}   committed, invalidated, acknowledged", milliseconds(took));
    print_line!("{}", style(row).cyan());
}

pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
