//! `result-aggregator dead-dead_letters`: what an operator does about refused records.
//!
//! A client of a running server, embedded or not: it asks, draws and counts. What becomes of a
//! dead letter is decided there, and nothing that comes from there is printed as it is.

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
use self::arguments::{Dropping, Listing, Showing, Which};
pub use self::picture::picture;
use self::selection::{pages, select};
pub use self::show::{Look, show};
use crate::client::{Client, Target};
use crate::printable::{printable, printable_json};

/// Does what was said. Gives the exit code: 1 if a dead letter was refused again, or if nothing was
/// dropped for want of `--yes`.
///
/// # Errors
///
/// If the server does not answer, or not as it should. What was done before stays done; to repeat
/// the command is safe.
pub async fn run(command: Command, target: Target) -> anyhow::Result<u8> {
    let client = Client::new(target)?;
    match command {
        Command::List(listing) => list(&client, &listing).await,
        Command::Show(showing) => show_one(&client, &showing).await,
        Command::Replay(which) => replay(&client, &which).await,
        Command::Drop(dropping) => drop_dead_letters(&client, &dropping).await,
    }
}

async fn list(client: &Client, listing: &Listing) -> anyhow::Result<u8> {
    let (dead_letters, next_after) =
        pages(client, &listing.filters, listing.after, listing.limit).await?;
    if listing.json {
        for dead_letter in &dead_letters {
            let json = serde_json::to_string(dead_letter).context("write a letter")?;
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

async fn show_one(client: &Client, showing: &Showing) -> anyhow::Result<u8> {
    let request = client.request(Method::GET, &format!("/dead-letters/{}", showing.id));
    if showing.json {
        let dead_letter: serde_json::Value = client.ask(request).await?;
        print(&printable_json(&dead_letter.to_string()))?;
        return Ok(0);
    }
    let dead_letter: DeadLetter = client.ask(request).await?;
    let look = if console::colors_enabled() { Look::Coloured } else { Look::Plain };
    print(show(&dead_letter, look)?.trim_end())?;
    Ok(0)
}

async fn replay(client: &Client, which: &Which) -> anyhow::Result<u8> {
    let dead_letters = select(client, which).await?;
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
        "{applied} applied, {duplicates} duplicates, {refused} refused again, {gone} gone"
    ))?;
    Ok(u8::from(refused > 0))
}

async fn drop_dead_letters(client: &Client, dropping: &Dropping) -> anyhow::Result<u8> {
    let dead_letters = select(client, &dropping.which).await?;
    if dropping.which.ids.is_empty() && !dead_letters.is_empty() && !dropping.yes {
        let count = dead_letters.len();
        print(&format!("{count} dead letters match; say --yes to drop them, bytes and all"))?;
        return Ok(1);
    }
    let progress = progress_bar(dead_letters.len());
    let (mut dropped, mut gone, mut changed) = (0_u64, 0_u64, 0_u64);
    for (id, refused_at) in dead_letters {
        let mut request = client.request(Method::DELETE, &format!("/dead-letters/{id}"));
        if let Some(refused_at) = refused_at {
            // What was refused again since, perhaps for another reason, was not meant.
            request = request.query(&[("refused_at", refused_at)]);
        }
        let DiscardReport { outcome } =
            client.ask_with_retry(request, |failed| failed.show(&progress)).await?;
        match outcome {
            DiscardOutcome::Discarded => dropped += 1,
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
    print(&format!("{dropped} dropped, {gone} gone{kept}"))?;
    Ok(0)
}

fn progress_bar(dead_letters: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} eta {eta}  {msg}");
    ProgressBar::new(dead_letters as u64).with_style(style.unwrap_or(ProgressStyle::default_bar()))
}

/// Writes a line. Whoever closes the pipe, as `head` does, has seen enough.
fn print(line: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("write"),
        _ => Ok(()),
    }
}
