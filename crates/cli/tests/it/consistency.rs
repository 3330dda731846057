//! No read that starts after an acknowledgement is older than it: two processes, one database, one
//! Redis, eight writers, eight readers. And the same without the token check, to show that this
//! test would notice.

use testkit::seed;

use crate::load::{LoadPlan, Tally, run};
use crate::servers::Servers;

/// Reads that are checked.
const READS: u64 = 100_000;

async fn run_on_two_processes(plan: LoadPlan, mutant: Option<&str>) -> Tally {
    let servers = Servers::new().await;
    let replica = || match mutant {
        Some(mutant) => servers.builder().mutant(mutant).start(),
        None => servers.builder().start(),
    };
    // Both migrate at the same time.
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
async fn no_read_is_older_than_an_acknowledgement_before_it() {
    let tally = run_on_two_processes(plan(), None).await;
    tally.assert_never_stale();
    assert!(tally.reads >= READS);
    assert!(tally.hits > READS / 10, "the cache was used: {} hits", tally.hits);
    assert!(tally.acknowledged > 1000, "there were events: {}", tally.acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_check_the_same_load_reads_stale_pages() {
    let plan = LoadPlan { until_stale: true, ..plan() };
    let tally = run_on_two_processes(plan, Some("fill-without-generation-check")).await;
    assert!(tally.stale.count > 0, "no stale read in {} reads: the test has no teeth", tally.reads);
}
