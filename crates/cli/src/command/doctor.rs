//! `result-aggregator doctor`: checks the servers that the settings name, and prints what is wrong.

use std::time::Duration;

use aggregator::app::doctor::{self, Diagnosis, DoctorFinding, Effect, Subject};
use aggregator::clock::{Clock as _, SystemClock};
use aggregator::print_line;
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::config_args::{ConfigArgs, unread};
use crate::printable::{printable, printable_json};

/// Examples at the end of the help.
pub(super) const EXAMPLES: &str = "\
Exit codes:
  0  nothing is wrong
  1  not run: the settings are wrong
  2  something stops the service: it does not start, is not ready, or applies no events
  3  only warnings

Examples:
  The servers of the settings in this environment, as `serve` would use them:
    result-aggregator doctor
  Before the first start with a file of settings:
    result-aggregator doctor --config /etc/result-aggregator.toml
  One server, and SQLite and no Kafka beside it:
    RAS_INTERNAL_API_KEY=any-key-of-16-characters \\
      result-aggregator doctor --redis-url redis://ras:password@127.0.0.1:6379
  In a deployment: go on with warnings, stop otherwise:
    result-aggregator doctor || [ $? -eq 3 ]
  The codes of all findings:
    result-aggregator doctor --json | jq --raw-output '.findings[].code'";

/// Exit codes, as the help says.
const STOPS: u8 = 2;
const WARNINGS: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print one JSON object per line: each check with its findings
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs all checks. Gives the exit code.
pub(super) async fn run(arguments: DoctorArgs) -> anyhow::Result<u8> {
    let DoctorArgs { json, config } = arguments;
    let config = config.load()?;
    let clock = SystemClock::new();
    let (mut worst, mut findings) = (None, 0);
    if !json {
        unread().iter().for_each(|unread| print_line!("{unread}"));
        print_line!("checking {}", limits());
    }
    Box::pin(doctor::run(&config, |diagnosis| {
        worst = worst.max(diagnosis.effect());
        findings += diagnosis.findings.len();
        show(&diagnosis, clock.monotonic(), json);
    }))
    .await
    .context("run the checks")?;
    if !json {
        print_line!("{}", conclusion(worst, findings));
    }
    Ok(match worst {
        None => 0,
        Some(Effect::Warning) => WARNINGS,
        Some(Effect::Stops) => STOPS,
    })
}

/// What is checked, and for how long at most.
fn limits() -> String {
    let limit = |subject: Subject| {
        format!("{} (at most {} s)", subject.as_str(), subject.limit().as_secs())
    };
    Subject::ALL.map(limit).join(", ")
}

fn show(diagnosis: &Diagnosis, after: Duration, json: bool) {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        diagnosis: &'a Diagnosis,
        result: &'a str,
        milliseconds: u128,
    }
    let result = result(diagnosis.effect());
    let milliseconds = after.as_millis();
    if json {
        // Texts and numbers can always be written.
        let line = serde_json::to_string(&Line { diagnosis, result, milliseconds });
        print_line!("{}", printable_json(&line.unwrap_or_default()));
        return;
    }
    let (name, summary) = (diagnosis.check.as_str(), printable(&diagnosis.summary));
    print_line!("{name:<8}  {result:<8}  {summary} ({milliseconds} ms)");
    diagnosis.findings.iter().for_each(show_finding);
}

fn show_finding(finding: &DoctorFinding) {
    let DoctorFinding { code, effect, problem, meaning, fix } = finding;
    print_line!("  {code} ({})", result(Some(*effect)));
    print_line!("    wrong: {}", printable(problem));
    print_line!("    means: {}", printable(meaning));
    print_line!("    fix:   {}", printable(fix));
}

fn result(effect: Option<Effect>) -> &'static str {
    match effect {
        None => "ok",
        Some(Effect::Warning) => "warning",
        Some(Effect::Stops) => "stops",
    }
}

fn conclusion(worst: Option<Effect>, findings: usize) -> String {
    let consequence = match worst {
        None => return "nothing is wrong".into(),
        Some(Effect::Warning) => "none stops the service",
        Some(Effect::Stops) => "the service is stopped by at least one of them",
    };
    let noun = if findings == 1 { "finding" } else { "findings" };
    format!("{findings} {noun}; {consequence}")
}
