//! What the demo shows: one teacher step by step, then everybody at once with a checker.

use std::fmt;
use std::time::Duration;

use anyhow::ensure;
use console::{Term, style};
use tokio::time::{interval, sleep, timeout};

use super::client::{Answer, Client};
use super::generator::{Generator, teacher};

/// How often each of the two events is shown.
const ROUNDS: u32 = 3;
/// Pause between live events, so that a person can watch.
const LIVE_PAUSE: Duration = Duration::from_millis(50);
/// How often the live line is drawn.
const LINE_INTERVAL: Duration = Duration::from_millis(250);

/// One teacher: list cached, event applied, list fresh at once.
pub(super) async fn tell(client: &Client, generator: &mut Generator) -> anyhow::Result<()> {
    let number = generator.favourite_number();
    let name = teacher(number);
    println!("\n{}", style(format!("The list of {name}:")).bold());
    print_row("step", "time", "cache", "batches");
    for round in 1..=ROUNDS {
        read_twice(client, &name).await?;
        let before = client.list(&name, "").await?;

        let batch = generator.batch(number);
        let took = client.post(&[batch.event]).await?;
        print_event("a batch is registered", took);
        let after = client.list(&name, "").await?;
        print_answer("read at once", &after);
        ensure!(after.total == before.total + 1, "the list does not show the new batch");
        ensure!(after.newest_batch == batch.id, "the new batch is not the first");

        let file = format!("essay_{round}.docx");
        let took = client.post(&[generator.slot(&batch.id, &file)]).await?;
        print_event("a file is assigned", took);
        let after = client.list(&name, "").await?;
        print_answer("read at once", &after);
        ensure!(after.newest_file == Some(file), "the list does not show the file");
    }
    Ok(())
}

async fn read_twice(client: &Client, name: &str) -> anyhow::Result<()> {
    print_answer("read", &client.list(name, "").await?);
    print_answer("read again", &client.list(name, "").await?);
    Ok(())
}

/// Events and reads of everybody. Each event is followed by a read that must show it.
pub(super) async fn go_on_live(
    client: &Client,
    generator: &mut Generator,
    time: Option<Duration>,
) -> anyhow::Result<()> {
    println!("{} (Ctrl-C ends it)", style("Live, every event checked by the next read:").bold());
    let terminal = Term::stdout();
    let mut tally = Tally::default();
    let live = watch(client, generator, &terminal, &mut tally);
    match time {
        None => live.await?,
        Some(time) => match timeout(time, live).await {
            Ok(outcome) => outcome?,
            Err(_) => terminal.write_line(&format!("\r{tally}"))?,
        },
    }
    Ok(())
}

async fn watch(
    client: &Client,
    generator: &mut Generator,
    terminal: &Term,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut lines = interval(LINE_INTERVAL);
    loop {
        tally.add(&check_one(client, generator).await?);
        tokio::select! {
            _ = lines.tick() => tally.draw(terminal)?,
            () = sleep(LIVE_PAUSE) => {}
        }
    }
}

struct Checked {
    is_stale: bool,
    warm: Answer,
    applied_in: Duration,
}

/// Warms a teacher's list, changes it, reads it.
async fn check_one(client: &Client, generator: &mut Generator) -> anyhow::Result<Checked> {
    let number = generator.any_teacher();
    let name = teacher(number);
    client.list(&name, "?limit=5").await?;
    let warm = client.list(&name, "?limit=5").await?;
    let batch = generator.batch(number);
    let applied_in = client.post(&[batch.event]).await?;
    let after = client.list(&name, "?limit=5").await?;
    Ok(Checked { is_stale: after.newest_batch != batch.id, warm, applied_in })
}

#[derive(Default)]
struct Tally {
    events: u64,
    hits: u64,
    stale: u64,
    hit_time: Duration,
    event_time: Duration,
}

impl Tally {
    fn add(&mut self, checked: &Checked) {
        self.events += 1;
        self.stale += u64::from(checked.is_stale);
        self.event_time = checked.applied_in;
        if checked.warm.is_hit {
            self.hits += 1;
            self.hit_time = checked.warm.took;
        }
    }

    fn draw(&self, terminal: &Term) -> anyhow::Result<()> {
        if terminal.is_term() {
            terminal.clear_line()?;
            terminal.write_str(&format!("\r{self}"))?;
        } else if self.events.is_multiple_of(20) {
            terminal.write_line(&self.to_string())?;
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, hits, stale, hit_time, event_time } = self;
        let (event, hit) = (milliseconds(*event_time), milliseconds(*hit_time));
        write!(
            f,
            "  {events} events, {hits} hits, {stale} stale; last event {event}, last hit {hit}"
        )
    }
}

fn print_row(step: &str, time: &str, cache: &str, batches: &str) {
    println!("  {step:<24}{time:>10}   {cache:<34}{batches}");
}

fn print_answer(step: &str, answer: &Answer) {
    let batches = answer.total.to_string();
    print_row(step, &milliseconds(answer.took), &answer.cache_status, &batches);
}

fn print_event(step: &str, took: Duration) {
    let row = format!("  {step:<24}{:>10}   committed, dropped, acknowledged", milliseconds(took));
    println!("{}", style(row).cyan());
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
