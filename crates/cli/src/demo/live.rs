//! Live part of the demo: events of all teachers, each followed by reads that must show it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use aggregator::print_line;
use console::{Term, style};
use projection::EventKind;
use simulate::{SimulatedRecord, Simulation};
use tokio::time::{interval, sleep, timeout};

use super::client::{Answer, Client};
use super::expected::Expected;
use super::walkthrough::milliseconds;

/// Pause between records, so that a person can follow.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the line of counts is drawn.
const LINE_INTERVAL: Duration = Duration::from_millis(250);
/// Page that is read. A batch in progress is nearly always among the newest of its teacher.
const PAGE: &str = "?limit=20";

/// Sends and checks records until the time is over or the future is dropped.
pub(super) async fn run(
    client: &Client,
    simulation: Simulation,
    time: Option<Duration>,
) -> anyhow::Result<()> {
    print_line!(
        "{} (Ctrl-C ends it)",
        style("Live, every event checked by the next reads:").bold()
    );
    let terminal = Term::stdout();
    let mut tally = Tally::default();
    let live = watch(client, simulation, &terminal, &mut tally);
    match time {
        None => live.await?,
        Some(time) => match timeout(time, live).await {
            Ok(result) => result?,
            Err(_) => terminal.write_line(&format!("\r{tally}"))?,
        },
    }
    Ok(())
}

async fn watch(
    client: &Client,
    simulation: Simulation,
    terminal: &Term,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut lines = interval(LINE_INTERVAL);
    let mut expected = Expected::default();
    for record in simulation {
        let checked = check(client, &mut expected, &record).await?;
        tally.add(&record, &checked);
        tokio::select! {
            _ = lines.tick() => tally.draw(terminal)?,
            () = sleep(PAUSE) => {}
        }
    }
    Ok(())
}

struct Checked {
    is_stale: bool,
    /// The cached list, before the record was sent.
    cached: Answer,
    /// Time until the record was acknowledged.
    acknowledged_in: Duration,
}

/// Caches the list and the status, sends the record, and compares what is read after it.
async fn check(
    client: &Client,
    expected: &mut Expected,
    record: &SimulatedRecord,
) -> anyhow::Result<Checked> {
    let (teacher, batch) = (record.user_id.as_str(), record.batch_id.as_str());
    client.list(teacher, PAGE).await?;
    let cached = client.list(teacher, PAGE).await?;
    client.status(batch).await?;
    let acknowledged_in = client.post(record).await?;
    let expected = expected.after(record)?;
    let status = client.status(batch).await?;
    let list = client.list(teacher, PAGE).await?;
    // The batch may be on a later page. If it is on this one, it must be up to date.
    let is_list_stale = list.batch(batch).is_some_and(|shown| Some(shown) != expected.as_ref());
    Ok(Checked { is_stale: is_list_stale || status != expected, cached, acknowledged_in })
}

#[derive(Default)]
struct Tally {
    records: u64,
    kinds: BTreeSet<EventKind>,
    duplicates: u64,
    malformed: u64,
    hits: u64,
    stale: u64,
    hit_time: Duration,
    event_time: Duration,
}

impl Tally {
    fn add(&mut self, record: &SimulatedRecord, checked: &Checked) {
        self.records += 1;
        self.kinds.insert(record.topic);
        self.duplicates += u64::from(record.is_duplicate());
        self.malformed += u64::from(record.is_malformed());
        self.stale += u64::from(checked.is_stale);
        self.event_time = checked.acknowledged_in;
        if checked.cached.is_hit() {
            self.hits += 1;
            self.hit_time = checked.cached.took;
        }
    }

    fn draw(&self, terminal: &Term) -> anyhow::Result<()> {
        if terminal.is_term() {
            terminal.clear_line()?;
            terminal.write_str(&format!("\r{self}"))?;
        } else if self.records.is_multiple_of(20) {
            terminal.write_line(&self.to_string())?;
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, duplicates, malformed, hits, stale, .. } = self;
        let (kinds, event, hit) =
            (self.kinds.len(), milliseconds(self.event_time), milliseconds(self.hit_time));
        write!(
            f,
            "  {records} events of {kinds} kinds, {duplicates} repeated, {malformed} malformed; \
             {hits} hits, {stale} stale; last event {event}, hit {hit}"
        )
    }
}
