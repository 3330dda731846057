//! The rules of [`CacheBackend`], one check each, for whoever writes a backend.
//!
//! A check panics with its rule's number if the backend breaks it. [`RULES`] lists them all, so a test
//! can run every one and a planted mistake can be shown to fail at least one. In a backend's own tests
//! [`backend_conformance!`](crate::store_conformance) makes one named test per rule.

#![expect(clippy::expect_used, reason = "a check ends at the first thing that goes wrong")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::backend::{
    COLLECT_ENTRIES_MAX, CacheBackend, Entry, FillOutcome, Filled, Invalidated, Lookup,
};
use crate::entry;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::ttl::Lifetimes;

/// An empty store, and the means to do to it what time and memory pressure do.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A handle of the backend. Every call gives another handle of the same store.
    fn backend(&self) -> Arc<dyn CacheBackend>;
    /// Lets this much time pass for the backend.
    async fn pass(&self, time: Duration);
    /// Removes the owner's generation and nothing else.
    async fn evict_generation(&self, owner: &Owner);
    /// Removes the owner's index and nothing else.
    async fn evict_index(&self, owner: &Owner);
    /// Members of the owner's index, dead ones included.
    async fn index_members(&self, owner: &Owner) -> u64;
    /// Whatever is stored without an end of life.
    async fn immortal(&self) -> Vec<String>;
}

/// A check: give it an empty store.
pub type Check = fn(Arc<dyn Fixture>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! rules {
    ($($name:ident),+ $(,)?) => {
        /// Every rule's name and check.
        pub const RULES: &[(&str, Check)] =
            &[$((stringify!($name), |fixture| Box::pin($name(fixture)))),+];

        /// Makes one test per rule. Give the test attribute and an expression that makes an
        /// `Arc<dyn Fixture>`.
        #[macro_export]
        macro_rules! backend_conformance {
            (#[$test:meta] $fixture:expr) => {
                $(#[$test] async fn $name() { $crate::conformance::$name($fixture).await; })+
            };
        }
    };
}

rules![
    s1_a_entry_is_given_only_under_its_generation,
    s2_an_expired_entry_is_absent,
    s3_a_fill_needs_the_present_generation,
    s4_a_dropped_entry_never_comes_back,
    s5_a_lost_generation_loses_entries_not_freshness,
    s6_a_generation_never_comes_back,
    s7_a_lost_index_changes_no_answer,
    s8_the_index_outlives_every_entry,
    s9_the_index_bounds_itself,
    s10_an_owner_has_at_most_so_many_entries,
    s11_everything_ends,
    s12_dropped_entries_are_reaped_in_chunks_by_anybody,
    s13_owners_do_not_touch_each_other,
    s14_a_drop_counts_entries_and_may_be_repeated,
];

/// Long enough that nothing ends during a check.
const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for, long enough that a slow machine stores and reads an entry in it.
const SHORT: Duration = Duration::from_millis(400);
const ENTRIES_MAX: u32 = 1_000_000;

/// One owner of one store, as a reader and a writer use it.
struct Subject {
    backend: Arc<dyn CacheBackend>,
    owner: Owner,
}

impl Subject {
    fn new(fixture: &dyn Fixture, id: &str) -> Self {
        Self { backend: fixture.backend(), owner: owner(id) }
    }

    async fn generation(&self) -> Generation {
        let nonce = RandomHex::draw(&crate::random::OsRandom).expect("random bytes");
        self.generation_from(&nonce).await
    }

    async fn generation_from(&self, nonce: &RandomHex) -> Generation {
        let lifetimes = Lifetimes::of_entry(LONG);
        self.backend.generation(&self.owner, nonce, &lifetimes).await.expect("token")
    }

    async fn fill(&self, name: &str, generation: Generation, ttl: Duration) -> FillOutcome {
        self.fill_up_to(ENTRIES_MAX, name, generation, ttl).await.outcome
    }

    async fn fill_up_to(
        &self,
        entries_max: u32,
        name: &str,
        generation: Generation,
        ttl: Duration,
    ) -> Filled {
        let (owner, key) = (&self.owner, &key(name));
        let stored = entry::encode(&generation, 0, owner, key, name.as_bytes());
        let lifetimes = Lifetimes::of_entry(ttl);
        let entry = Entry { owner, key, generation, stored, lifetimes, entries_max };
        self.backend.fill(entry).await.expect("fill")
    }

    async fn fill_new(&self, name: &str, ttl: Duration) -> Generation {
        let generation = self.generation().await;
        let outcome = self.fill(name, generation, ttl).await;
        assert_eq!(outcome, FillOutcome::Stored, "a fill under the present generation");
        generation
    }

    /// The payload of the entry, if it is given.
    async fn get(&self, name: &str) -> Option<Bytes> {
        let key = key(name);
        match self.backend.get(&self.owner, &key).await.expect("get") {
            Lookup::Hit { generation, stored } => {
                assert_eq!(entry::stamp(&stored), Some(generation), "a hit tells its stamp");
                let entry = entry::decode(&stored, 0, &self.owner, &key);
                Some(entry.expect("what was stored is given"))
            }
            Lookup::Miss(_) => None,
        }
    }

    async fn has(&self, name: &str) -> bool {
        self.get(name).await.is_some()
    }

    async fn drop(&self) -> u64 {
        let garbage_set = RandomHex::draw(&crate::random::OsRandom).expect("random bytes");
        let lifetimes = Lifetimes::of_entry(LONG);
        let Invalidated { entries } =
            self.backend.invalidate(&self.owner, &garbage_set, &lifetimes).await.expect("drop");
        entries
    }

    /// Reaps until nothing is left; gives the number of entries freed.
    async fn collect_all(&self) -> u64 {
        let mut entries = 0;
        loop {
            let collected = self.backend.collect(&self.owner).await.expect("reap");
            assert!(collected.entries <= COLLECT_ENTRIES_MAX as u64, "S12: a chunk has a limit");
            entries += collected.entries;
            if !collected.more {
                return entries;
            }
        }
    }
}

fn owner(id: &str) -> Owner {
    Owner::new("user", id).expect("owner")
}

fn key(name: &str) -> EntryKey {
    EntryKey::new([name]).expect("key")
}

/// S1: what was filled is given, and only while its stamp is the generation.
pub async fn s1_a_entry_is_given_only_under_its_generation(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    assert!(!user.has("page").await, "S1: nothing was filled");
    let generation = user.fill_new("page", LONG).await;
    assert_eq!(user.get("page").await.as_deref(), Some(&b"page"[..]), "S1: filled");
    assert_eq!(user.generation().await, generation, "S1: a fill leaves the generation as it is");
    user.drop().await;
    assert!(!user.has("page").await, "S1: no generation");
    assert_ne!(user.generation().await, generation, "S1: a drop ends the generation");
    assert!(!user.has("page").await, "S1: another generation");
}

/// S2: at its TTL an entry is absent, and its place can be filled again.
pub async fn s2_an_expired_entry_is_absent(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let generation = user.fill_new("page", SHORT).await;
    user.fill("other", generation, LONG).await;
    assert!(user.has("page").await, "S2: not yet");
    fixture.pass(SHORT).await;
    assert!(!user.has("page").await, "S2: expired");
    assert!(user.has("other").await, "S2: only this page");
    assert_eq!(user.fill("page", generation, LONG).await, FillOutcome::Stored, "S2: again");
    assert!(user.has("page").await, "S2: again");
}

/// S3: the reader that loaded before an invalidation and fills after it is refused.
pub async fn s3_a_fill_needs_the_present_generation(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let early = user.generation().await;
    user.drop().await;
    assert_eq!(user.fill("page", early, LONG).await, FillOutcome::Refused, "S3: no generation");
    assert!(!user.has("page").await, "S3: no generation");
    let late = user.generation().await;
    assert_eq!(user.fill("page", early, LONG).await, FillOutcome::Refused, "S3: another one");
    assert!(!user.has("page").await, "S3: another one");
    assert_eq!(user.fill("page", late, LONG).await, FillOutcome::Stored, "S3: the present one");
}

/// S4: neither a late fill nor a new generation makes a invalidated entry readable.
pub async fn s4_a_dropped_entry_never_comes_back(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let early = user.fill_new("page", LONG).await;
    for round in 0..3 {
        user.drop().await;
        assert!(!user.has("page").await, "S4: round {round}");
        user.fill("page", early, LONG).await;
        assert!(!user.has("page").await, "S4: late fill, round {round}");
        user.fill_new("other", LONG).await;
        assert!(!user.has("page").await, "S4: new generation, round {round}");
    }
}

/// S5: a generation lost at any moment makes entries absent, old generations stay invalid.
pub async fn s5_a_lost_generation_loses_entries_not_freshness(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let first = user.fill_new("old", LONG).await;
    user.drop().await;
    fixture.evict_generation(&user.owner).await;
    assert!(!user.has("old").await, "S5: lost after a drop");
    let second = user.fill_new("page", LONG).await;
    assert!(!user.has("old").await, "S5: made anew after a drop and a loss");
    assert_eq!(user.fill("old", first, LONG).await, FillOutcome::Refused, "S5: old token");
    fixture.evict_generation(&user.owner).await;
    assert!(!user.has("page").await, "S5: lost");
    assert_eq!(user.fill("page", second, LONG).await, FillOutcome::Refused, "S5: no generation");
    user.generation().await;
    assert!(!user.has("page").await, "S5: made anew");
    assert!(!user.has("old").await, "S5: made anew");
    assert_eq!(user.fill("page", second, LONG).await, FillOutcome::Refused, "S5: old token");
}

/// S6: the same request for a generation, delivered again after an invalidation, makes another generation.
pub async fn s6_a_generation_never_comes_back(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let request = RandomHex::from_bits(0x5eed);
    let generation = user.generation_from(&request).await;
    assert_eq!(user.generation_from(&request).await, generation, "S6: repeated while it is there");
    user.fill("page", generation, LONG).await;
    // Without its index an entry is not found by an invalidation: only the generation keeps it unreadable.
    fixture.evict_index(&user.owner).await;
    user.drop().await;
    assert_ne!(
        user.generation_from(&request).await,
        generation,
        "S6: delivered again after a drop"
    );
    assert!(!user.has("page").await, "S6: the dropped page");
    fixture.evict_generation(&user.owner).await;
    assert_ne!(
        user.generation_from(&request).await,
        generation,
        "S6: delivered again after a loss"
    );
}

/// S7: an invalidation reaches entries that the index no longer lists.
pub async fn s7_a_lost_index_changes_no_answer(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    user.fill_new("page", LONG).await;
    fixture.evict_index(&user.owner).await;
    assert!(user.has("page").await, "S7: still there");
    user.drop().await;
    assert!(!user.has("page").await, "S7: dropped without index");
    user.fill_new("other", LONG).await;
    assert!(!user.has("page").await, "S7: and stays so");
}

/// S8: after a short-lived entry the index still lists the long-lived one.
pub async fn s8_the_index_outlives_every_entry(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let generation = user.fill_new("long", LONG).await;
    user.fill("short", generation, SHORT).await;
    fixture.pass(SHORT * 3).await;
    assert!(user.has("long").await, "S8: the page lives");
    assert!(fixture.index_members(&user.owner).await >= 1, "S8: the index lists it");
    assert!(user.drop().await >= 1, "S8: the drop finds it");
    assert!(user.collect_all().await >= 1, "S8: and its memory is freed");
}

/// S9: waves of short-lived entries leave an index of at most 2 × live + 64 members.
pub async fn s9_the_index_bounds_itself(fixture: Arc<dyn Fixture>) {
    const WAVES: usize = 4;
    const ENTRIES_PER_WAVE: usize = 200;
    const LIVE: usize = 40;
    let user = Subject::new(&*fixture, "u");
    let generation = user.generation().await;
    for wave in 0..WAVES {
        for entry in 0..ENTRIES_PER_WAVE {
            user.fill(&format!("{wave}-{entry}"), generation, SHORT).await;
        }
        fixture.pass(SHORT).await;
    }
    // What fills ask for in the background: a few samples each.
    for entry in 0..LIVE {
        user.fill(&format!("live-{entry}"), generation, LONG).await;
        for _ in 0..4 {
            user.backend.trim(&user.owner).await.expect("trim");
        }
    }
    let members = fixture.index_members(&user.owner).await;
    assert!(members <= 2 * LIVE as u64 + 64, "S9: {members} members for {LIVE} live pages");
    for entry in 0..LIVE {
        assert!(user.has(&format!("live-{entry}")).await, "S9: trimming removed a live page");
    }
    assert!(user.drop().await >= LIVE as u64, "S9: every live page is still listed");
}

/// S10: one entry more than allowed is not stored; replacing is; an invalidation makes room.
pub async fn s10_an_owner_has_at_most_so_many_entries(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let generation = user.generation().await;
    for name in ["a", "b"] {
        let filled = user.fill_up_to(2, name, generation, LONG).await;
        assert_eq!(filled.outcome, FillOutcome::Stored, "S10: room for {name}");
    }
    let filled = user.fill_up_to(2, "c", generation, LONG).await;
    assert_eq!(filled.outcome, FillOutcome::Full, "S10: no room");
    assert!(!user.has("c").await && user.has("a").await && user.has("b").await, "S10: no room");
    let filled = user.fill_up_to(2, "a", generation, LONG).await;
    assert_eq!(filled.outcome, FillOutcome::Stored, "S10: replaced");
    user.drop().await;
    let generation = user.generation().await;
    let filled = user.fill_up_to(2, "c", generation, LONG).await;
    assert_eq!(filled.outcome, FillOutcome::Stored, "S10: room after a drop");
}

/// S11: nothing is stored without an end of life.
pub async fn s11_everything_ends(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    user.fill_new("page", LONG).await;
    assert_eq!(fixture.immortal().await, Vec::<String>::new(), "S11: after a fill");
    user.drop().await;
    assert_eq!(fixture.immortal().await, Vec::<String>::new(), "S11: after a drop");
    user.fill_new("page", LONG).await;
    user.collect_all().await;
    assert_eq!(fixture.immortal().await, Vec::<String>::new(), "S11: after reaping");
}

/// S12: another handle frees what was invalidated, chunk by chunk, and spares what was filled since.
pub async fn s12_dropped_entries_are_reaped_in_chunks_by_anybody(fixture: Arc<dyn Fixture>) {
    const ENTRIES: u64 = COLLECT_ENTRIES_MAX as u64 * 2 + 50;
    let dropper = Subject::new(&*fixture, "u");
    let generation = dropper.generation().await;
    for entry in 0..ENTRIES {
        dropper.fill(&format!("{entry}"), generation, LONG).await;
    }
    assert_eq!(dropper.drop().await, ENTRIES, "S12: all were listed");
    drop(dropper);

    let user = Subject::new(&*fixture, "u");
    let generation = user.generation().await;
    let filled = user.fill_up_to(ENTRIES_MAX, "7", generation, LONG).await;
    assert!(filled.garbage, "S12: a fill tells that there is garbage");
    let first = user.backend.collect(&user.owner).await.expect("reap");
    assert!(first.more, "S12: one chunk is not all");
    let rest = user.collect_all().await;
    assert_eq!(first.entries + rest, ENTRIES - 1, "S12: all but the page filled since");
    assert!(user.has("7").await, "S12: the page filled since");
    let filled = user.fill_up_to(ENTRIES_MAX, "8", generation, LONG).await;
    assert!(!filled.garbage, "S12: nothing is left");
}

/// S13: dropping one owner leaves the others, whatever they are called.
pub async fn s13_owners_do_not_touch_each_other(fixture: Arc<dyn Fixture>) {
    const IDS: [&str; 9] =
        ["u", "u:v", "u:e", "{u}", "}:{u", "%7Bu%7D", "u v", "ü", "u\u{0}\r\nFLUSHALL"];
    let users = IDS.map(|id| Subject::new(&*fixture, id));
    for user in &users {
        user.fill_new("page", LONG).await;
    }
    for (dropped, id) in IDS.iter().enumerate() {
        assert_eq!(users[dropped].drop().await, 1, "S13: {id:?} has its own index");
        users[dropped].collect_all().await;
        for (other, name) in IDS.iter().enumerate() {
            let has = users[other].has("page").await;
            assert_eq!(has, other > dropped, "S13: {name:?} after dropping {id:?}");
        }
    }
}

/// S14: an invalidation counts the entries; without entries, or repeated, it gives 0.
pub async fn s14_a_drop_counts_entries_and_may_be_repeated(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    assert_eq!(user.drop().await, 0, "S14: never seen");
    let generation = user.fill_new("a", LONG).await;
    user.fill("b", generation, LONG).await;
    user.fill("b", generation, LONG).await;
    assert_eq!(user.drop().await, 2, "S14: two pages, one filled twice");
    assert_eq!(user.drop().await, 0, "S14: repeated");
    assert!(!user.has("a").await, "S14: repeated");
}
