//! No read that starts after an acknowledgement is older than it: two processes with near copies, one
//! database, one Redis, eight writers, eight readers. The same without the generation check, or with
//! copies that are not compared, shows that the test would notice a stale read.

use testkit::seed;

use crate::support::load::{LoadPlan, Tally, run};
use crate::support::servers::Servers;

/// Number of checked reads.
const READS: u64 = 30_000;

async fn run_on_two_processes(plan: LoadPlan, mutant: Option<&str>) -> Tally {
    let servers = Servers::new().await;
    let replica = || match mutant {
        Some(mutant) => servers.builder().mutant(mutant).start(),
        None => servers.builder().start(),
    };
    // Both run the migrations at the same time.
    let (one, two) = tokio::join!(replica(), replica());
    run(plan, vec![one.client.clone(), two.client.clone()]).await
}

fn plan() -> LoadPlan {
    LoadPlan {
        writers: 8,
        readers: 8,
        teachers: 16,
        reads: READS,
        until_stale: false,
        seed: seed(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_never_older_than_earlier_acknowledgements() {
    let tally = run_on_two_processes(plan(), None).await;
    tally.assert_never_stale();
    assert!(tally.reads >= READS);
    assert!(tally.hits > READS / 10, "the cache was used: {} hits", tally.hits);
    assert!(tally.acknowledged > 1000, "there were events: {}", tally.acknowledged);
}

async fn assert_reads_are_stale_with(mutant: &str) {
    let plan = LoadPlan { until_stale: true, ..plan() };
    let tally = run_on_two_processes(plan, Some(mutant)).await;
    assert!(
        tally.stale.count > 0,
        "no stale read in {} reads, so the test proves nothing",
        tally.reads
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_without_generation_check_reads_stale_entries() {
    assert_reads_are_stale_with("fill-without-generation-check").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_with_near_copies_that_are_not_compared_reads_stale_entries() {
    assert_reads_are_stale_with("near-copy-unchecked").await;
}
