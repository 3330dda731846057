//! `result-aggregator dead-letters`: lists, shows, replays and discards refused records.
//!
//! A client of a running server, embedded or not. The server decides what happens to a dead letter, and
//! nothing that comes from it is printed unescaped.

mod arguments;
mod picture;
mod selection;
mod show;

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use api_types::{DeadLetter, DiscardOutcome, DiscardReport, ReplayOutcome, ReplayReport};
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;

pub use self::arguments::Command;
use self::arguments::{DiscardArgs, ListArgs, Selection, ShowArgs};
pub use self::picture::{Look, picture};
use self::selection::{pages, select};
pub use self::show::show;
use crate::client::{Client, Target};
use crate::printable::{printable, printable_json};

/// Runs a subcommand and returns the exit code: 1 if a dead letter was refused again, or if none was
/// discarded because `--yes` is missing.
///
/// # Errors
///
/// If the server does not answer, or refuses a request. Earlier requests stay done; to repeat the
/// command is safe.
pub async fn run(command: Command, target: Target) -> anyhow::Result<u8> {
    let client = Client::new(target)?;
    match command {
        Command::List(args) => list(&client, &args).await,
        Command::Show(args) => show_one(&client, &args).await,
        Command::Replay(selection) => replay(&client, &selection).await,
        Command::Discard(args) => discard(&client, &args).await,
    }
}

async fn list(client: &Client, args: &ListArgs) -> anyhow::Result<u8> {
    let (dead_letters, next_after) = pages(client, &args.filters, args.after, args.limit).await?;
    if args.json {
        for dead_letter in &dead_letters {
            let json = serde_json::to_string(dead_letter).context("write a dead letter")?;
            print(&printable_json(&json))?;
        }
        return Ok(0);
    }
    if dead_letters.is_empty() {
        print("no dead letters, or none that match")?;
    } else {
        let terminal = Term::stdout();
        let width = io::stdout().is_terminal().then(|| usize::from(terminal.size().1));
        print(show::table(&dead_letters, width).trim_end())?;
    }
    if let Some(after) = next_after {
        print(&format!("there are more: --after {after}"))?;
    }
    Ok(0)
}

async fn show_one(client: &Client, args: &ShowArgs) -> anyhow::Result<u8> {
    let request = client.request(Method::GET, &format!("/dead-letters/{}", args.id));
    if args.json {
        let dead_letter: serde_json::Value = client.ask(request).await?;
        print(&printable_json(&dead_letter.to_string()))?;
        return Ok(0);
    }
    let dead_letter: DeadLetter = client.ask(request).await?;
    let look = if console::colors_enabled() { Look::Coloured } else { Look::Plain };
    print(show(&dead_letter, look)?.trim_end())?;
    Ok(0)
}

async fn replay(client: &Client, selection: &Selection) -> anyhow::Result<u8> {
    let dead_letters = select(client, selection).await?;
    let progress = progress_bar(dead_letters.len());
    let (mut applied, mut duplicates, mut refused, mut gone) = (0_u64, 0_u64, 0_u64, 0_u64);
    for (id, _) in dead_letters {
        let request = client.request(Method::POST, &format!("/dead-letters/{id}/replay"));
        let ReplayReport { outcome, reason, .. } =
            client.ask_with_retry(request, |failed| failed.show(&progress)).await?;
        match outcome {
            ReplayOutcome::Applied => applied += 1,
            ReplayOutcome::Duplicate => duplicates += 1,
            ReplayOutcome::Gone => gone += 1,
            ReplayOutcome::Refused => {
                refused += 1;
                let reason = reason.map_or_else(String::new, |reason| reason.to_string());
                let line = format!("{id}: refused again: {}", printable(&reason));
                progress.suspend(|| print(&line))?;
            }
        }
        progress.inc(1);
        progress.set_message("");
    }
    progress.finish_and_clear();
    print(&format!(
        "{applied} applied, {duplicates} duplicate, {refused} refused again, {gone} gone"
    ))?;
    Ok(u8::from(refused > 0))
}

async fn discard(client: &Client, args: &DiscardArgs) -> anyhow::Result<u8> {
    let dead_letters = select(client, &args.selection).await?;
    if args.selection.ids.is_empty() && !dead_letters.is_empty() && !args.yes {
        let count = dead_letters.len();
        print(&format!("{count} dead letters match; say --yes to discard them, bytes and all"))?;
        return Ok(1);
    }
    let progress = progress_bar(dead_letters.len());
    let (mut discarded, mut gone, mut changed) = (0_u64, 0_u64, 0_u64);
    for (id, refused_at) in dead_letters {
        let mut request = client.request(Method::DELETE, &format!("/dead-letters/{id}"));
        if let Some(refused_at) = refused_at {
            // A record refused again since, perhaps for another reason, was not selected.
            request = request.query(&[("refused_at", refused_at)]);
        }
        let DiscardReport { outcome } =
            client.ask_with_retry(request, |failed| failed.show(&progress)).await?;
        match outcome {
            DiscardOutcome::Discarded => discarded += 1,
            DiscardOutcome::Gone => gone += 1,
            DiscardOutcome::Changed => changed += 1,
        }
        progress.inc(1);
        progress.set_message("");
    }
    progress.finish_and_clear();
    let kept = if changed > 0 {
        format!(", {changed} kept: refused again meanwhile")
    } else {
        String::new()
    };
    print(&format!("{discarded} discarded, {gone} gone{kept}"))?;
    Ok(0)
}

fn progress_bar(dead_letters: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} eta {eta}  {msg}");
    ProgressBar::new(dead_letters as u64).with_style(style.unwrap_or(ProgressStyle::default_bar()))
}

/// Writes a line. A reader that closes the pipe, as `head` does, is no error.
fn print(line: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("write"),
        _ => Ok(()),
    }
}
