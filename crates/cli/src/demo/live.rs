//! Everybody at once, with a checker: each record is followed by reads that must show it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use console::{Term, style};
use projection::EventKind;
use tokio::time::{interval, sleep, timeout};

use super::client::{Answer, Client};
use super::expected::Expected;
use super::story::milliseconds;
use aggregator::print_line;
use simulate::{SimulatedRecord, Simulation};

/// Pause between live records, so that a person can watch.
const LIVE_PAUSE: Duration = Duration::from_millis(50);
/// How often the live line is drawn.
const LINE_INTERVAL: Duration = Duration::from_millis(250);
/// The page that is read. A batch under way is nearly always among the newest of its teacher.
const PAGE: &str = "?limit=20";

/// Records and reads of everybody, until the time is over or the future is dropped.
pub(super) async fn go_on(
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
            Ok(outcome) => outcome?,
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
            () = sleep(LIVE_PAUSE) => {}
        }
    }
    Ok(())
}

struct Checked {
    is_stale: bool,
    warm: Answer,
    applied_in: Duration,
}

/// Has the answers cached, changes them, reads them.
async fn check(
    client: &Client,
    expected: &mut Expected,
    record: &SimulatedRecord,
) -> anyhow::Result<Checked> {
    let (teacher, batch) = (record.user_id.as_str(), record.batch_id.as_str());
    client.list(teacher, PAGE).await?;
    let warm = client.list(teacher, PAGE).await?;
    client.status(batch).await?;
    let applied_in = client.post(record).await?;
    let expected = expected.after(record)?;
    let status = client.status(batch).await?;
    let list = client.list(teacher, PAGE).await?;
    // On the page or not; but if, then as it is.
    let is_list_stale = list.batch(batch).is_some_and(|shown| Some(shown) != expected.as_ref());
    Ok(Checked { is_stale: is_list_stale || status != expected, warm, applied_in })
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
        self.event_time = checked.applied_in;
        if checked.warm.is_hit() {
            self.hits += 1;
            self.hit_time = checked.warm.took;
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
            "  {records} events of {kinds} kinds, {duplicates} again, {malformed} malformed; \
             {hits} hits, {stale} stale; last event {event}, hit {hit}"
        )
    }
}
