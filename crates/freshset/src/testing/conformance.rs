//! Conformance suite of [`CacheBackend`]: one check for each rule.
//!
//! A check panics with its rule's number if the backend breaks it. [`RULES`] lists them all, so a test
//! can run every one and show that a planted mistake fails at least one. In the tests of a backend
//! [`backend_conformance!`](crate::backend_conformance) makes one named test per rule.

#![expect(clippy::expect_used, reason = "a check ends at its first failure")]

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::backend::{
    COLLECT_ENTRIES_MAX, CacheBackend, Entry, FillOutcome, Filled, Invalidated, Lookup, Members,
};
use crate::cache::fence;
use crate::entry::{self, Decoded};
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::mutant::{Mutant, Planted};
use crate::random::OsRandom;
use crate::stamp::Stamped;
use crate::ttl::Lifetimes;

/// An empty backend, and the means to let time pass and to evict its keys.
///
/// One for the backend in memory:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use async_trait::async_trait;
/// use freshset::backend::memory::MemoryBackend;
/// use freshset::testing::conformance::{Fixture, RULES};
/// use freshset::testing::ManualClock;
/// use freshset::{CacheBackend, Owner};
///
/// struct Tested {
///     backend: Arc<MemoryBackend>,
///     clock: Arc<ManualClock>,
/// }
///
/// impl Tested {
///     fn empty() -> Arc<dyn Fixture> {
///         let clock = Arc::new(ManualClock::default());
///         Arc::new(Self { backend: Arc::new(MemoryBackend::with(64 << 20, clock.clone())), clock })
///     }
/// }
///
/// #[async_trait]
/// impl Fixture for Tested {
///     fn backend(&self) -> Arc<dyn CacheBackend> {
///         self.backend.clone()
///     }
///     async fn advance(&self, time: Duration) {
///         self.clock.advance(time);
///     }
///     async fn evict_generation(&self, owner: &Owner) {
///         self.backend.evict_generation(owner);
///     }
///     async fn evict_index(&self, owner: &Owner) {
///         self.backend.evict_index(owner);
///     }
///     async fn index_members(&self, owner: &Owner) -> u64 {
///         self.backend.index_members(owner)
///     }
///     async fn keys_without_ttl(&self) -> Vec<String> {
///         Vec::new()
///     }
/// }
///
/// // In a test binary: `freshset::backend_conformance!(#[tokio::test] Tested::empty());`
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// for (_, check) in RULES {
///     check(Tested::empty()).await;
/// }
/// # }
/// ```
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A handle of the backend. Every call gives another handle of the same data.
    fn backend(&self) -> Arc<dyn CacheBackend>;
    /// Lets this much time pass for the backend.
    async fn advance(&self, time: Duration);
    /// Removes the owner's generation and nothing else.
    async fn evict_generation(&self, owner: &Owner);
    /// Removes the owner's index and nothing else.
    async fn evict_index(&self, owner: &Owner);
    /// Members of the owner's index, dead ones included.
    async fn index_members(&self, owner: &Owner) -> u64;
    /// The keys that are stored without a TTL.
    async fn keys_without_ttl(&self) -> Vec<String>;
    /// A mistake of the cache that is planted in the checks; for tests of the suite itself.
    fn mutant(&self) -> Option<Mutant> {
        None
    }
}

/// A check, run on an empty backend.
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
                $(#[$test] async fn $name() { $crate::testing::conformance::$name($fixture).await; })+
            };
        }
    };
}

rules![
    s1_entry_is_readable_only_under_its_generation,
    s2_expired_entry_is_absent,
    s3_fill_needs_the_current_generation,
    s4_invalidated_entry_never_comes_back,
    s5_lost_generation_loses_entries_not_freshness,
    s6_generation_never_comes_back,
    s7_lost_index_changes_no_answer,
    s8_index_outlives_every_entry,
    s9_index_is_bounded,
    s10_owner_has_at_most_entries_max_entries,
    s11_everything_expires,
    s12_invalidated_entries_are_collected_in_chunks_by_any_handle,
    s13_owners_do_not_affect_each_other,
    s14_invalidate_counts_entries_and_is_repeatable,
    s15_entry_of_several_owners_lives_for_its_ttl,
    s16_remove_removes_one_entry,
    s17_members_lists_entry_keys,
];

/// Long enough that nothing expires during a check.
const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for, long enough that a slow machine stores and reads an entry in it.
const SHORT: Duration = Duration::from_secs(1);
const ENTRIES_MAX: u32 = 1_000_000;

/// One owner of one backend, as a reader and a writer use it.
struct Subject {
    backend: Arc<dyn CacheBackend>,
    owner: Owner,
    planted: Planted,
}

impl Subject {
    fn new(fixture: &dyn Fixture, id: &str) -> Self {
        Self {
            backend: fixture.backend(),
            owner: owner(id),
            planted: Planted::of(fixture.mutant()),
        }
    }

    async fn generation(&self) -> Generation {
        let random_part = RandomHex::draw(&OsRandom).expect("random bytes");
        self.generation_from(&random_part).await
    }

    async fn generation_from(&self, random_part: &RandomHex) -> Generation {
        let lifetimes = Lifetimes::of_entry(LONG);
        self.backend.generation(&self.owner, random_part, &lifetimes).await.expect("generation")
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
        let stamp = [Stamped { owner: owner.clone(), generation }];
        let stored = entry::encode(&stamp, 0, key, Some(name.as_bytes()));
        let (lifetimes, others) = (Lifetimes::of_entry(ttl), &[][..]);
        let entry = Entry { owner, key, generation, others, stored, lifetimes, entries_max };
        self.backend.fill(entry).await.expect("fill")
    }

    async fn fill_new(&self, name: &str, ttl: Duration) -> Generation {
        let generation = self.generation().await;
        let outcome = self.fill(name, generation, ttl).await;
        assert_eq!(outcome, FillOutcome::Stored, "a fill under the current generation");
        generation
    }

    /// The payload of the entry, if it is readable.
    async fn get(&self, name: &str) -> Option<Bytes> {
        let key = key(name);
        let owners = slice::from_ref(&self.owner);
        let lookup = Lookup { entry: Some((&self.owner, &key)), owners, remaining: false };
        let found = self.backend.get(lookup).await.expect("get");
        assert_eq!(found.generations.len(), 1, "S1: one generation for one owner");
        let decoded = entry::decode(&found.stored?, 0, &self.owner, &key);
        let Decoded { stamp, content } = decoded.expect("S1: get gives what was stored");
        let is_current = fence::is_current(&stamp, owners, &found.generations, self.planted);
        content.filter(|_| is_current)
    }

    async fn has(&self, name: &str) -> bool {
        self.get(name).await.is_some()
    }

    async fn invalidate(&self) -> u64 {
        let garbage_set = RandomHex::draw(&OsRandom).expect("random bytes");
        let lifetimes = Lifetimes::of_entry(LONG);
        let Invalidated { entries } = self
            .backend
            .invalidate(&self.owner, &garbage_set, &lifetimes)
            .await
            .expect("invalidate");
        entries
    }

    /// Collects until nothing is left; gives the number of entries freed.
    async fn collect_all(&self) -> u64 {
        let mut entries = 0;
        loop {
            let collected = self.backend.collect(&self.owner).await.expect("collect");
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

/// S1: a stored entry is readable, and only while its stamp is the generation.
pub async fn s1_entry_is_readable_only_under_its_generation(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    assert!(!user.has("entry").await, "S1: nothing was filled");
    let generation = user.fill_new("entry", LONG).await;
    assert_eq!(user.get("entry").await.as_deref(), Some(&b"entry"[..]), "S1: filled");
    assert_eq!(user.generation().await, generation, "S1: a fill leaves the generation as it is");
    user.invalidate().await;
    assert!(!user.has("entry").await, "S1: no generation");
    assert_ne!(user.generation().await, generation, "S1: an invalidation ends the generation");
    assert!(!user.has("entry").await, "S1: another generation");
}

/// S2: at its TTL an entry is absent, and can be filled again.
pub async fn s2_expired_entry_is_absent(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let generation = user.fill_new("entry", SHORT).await;
    user.fill("other", generation, LONG).await;
    assert!(user.has("entry").await, "S2: not yet");
    fixture.advance(SHORT).await;
    assert!(!user.has("entry").await, "S2: expired");
    assert!(user.has("other").await, "S2: only this entry");
    assert_eq!(user.fill("entry", generation, LONG).await, FillOutcome::Stored, "S2: again");
    assert!(user.has("entry").await, "S2: again");
}

/// S3: a reader that loaded before an invalidation and fills after it is refused.
pub async fn s3_fill_needs_the_current_generation(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let early = user.generation().await;
    user.invalidate().await;
    assert_eq!(user.fill("entry", early, LONG).await, FillOutcome::Refused, "S3: no generation");
    assert!(!user.has("entry").await, "S3: no generation");
    let late = user.generation().await;
    assert_eq!(user.fill("entry", early, LONG).await, FillOutcome::Refused, "S3: another one");
    assert!(!user.has("entry").await, "S3: another one");
    assert_eq!(user.fill("entry", late, LONG).await, FillOutcome::Stored, "S3: the current one");
}

/// S4: neither a late fill nor a new generation makes an invalidated entry readable.
pub async fn s4_invalidated_entry_never_comes_back(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let early = user.fill_new("entry", LONG).await;
    for round in 0..3 {
        user.invalidate().await;
        assert!(!user.has("entry").await, "S4: round {round}");
        user.fill("entry", early, LONG).await;
        assert!(!user.has("entry").await, "S4: late fill, round {round}");
        user.fill_new("other", LONG).await;
        assert!(!user.has("entry").await, "S4: new generation, round {round}");
    }
}

/// S5: a generation lost at any moment makes entries absent, old generations stay invalid.
pub async fn s5_lost_generation_loses_entries_not_freshness(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let first = user.fill_new("old", LONG).await;
    user.invalidate().await;
    fixture.evict_generation(&user.owner).await;
    assert!(!user.has("old").await, "S5: lost after an invalidation");
    let second = user.fill_new("entry", LONG).await;
    assert!(!user.has("old").await, "S5: new generation after an invalidation and a loss");
    assert_eq!(user.fill("old", first, LONG).await, FillOutcome::Refused, "S5: old generation");
    fixture.evict_generation(&user.owner).await;
    assert!(!user.has("entry").await, "S5: lost");
    assert_eq!(user.fill("entry", second, LONG).await, FillOutcome::Refused, "S5: no generation");
    user.generation().await;
    assert!(!user.has("entry").await, "S5: new generation");
    assert!(!user.has("old").await, "S5: new generation");
    assert_eq!(user.fill("entry", second, LONG).await, FillOutcome::Refused, "S5: old generation");
}

/// S6: a request for a generation that is delivered again after an invalidation makes another one.
pub async fn s6_generation_never_comes_back(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let request = RandomHex::from_bits(0x5eed);
    let generation = user.generation_from(&request).await;
    assert_eq!(user.generation_from(&request).await, generation, "S6: repeated while it is there");
    user.fill("entry", generation, LONG).await;
    // An invalidation does not find an entry without its index: only the generation keeps it unreadable.
    fixture.evict_index(&user.owner).await;
    user.invalidate().await;
    assert_ne!(
        user.generation_from(&request).await,
        generation,
        "S6: delivered again after an invalidation"
    );
    assert!(!user.has("entry").await, "S6: the invalidated entry");
    fixture.evict_generation(&user.owner).await;
    assert_ne!(
        user.generation_from(&request).await,
        generation,
        "S6: delivered again after a loss"
    );
}

/// S7: an invalidation covers entries that the index no longer lists.
pub async fn s7_lost_index_changes_no_answer(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    user.fill_new("entry", LONG).await;
    fixture.evict_index(&user.owner).await;
    assert!(user.has("entry").await, "S7: still there");
    user.invalidate().await;
    assert!(!user.has("entry").await, "S7: invalidated without index");
    user.fill_new("other", LONG).await;
    assert!(!user.has("entry").await, "S7: and stays so");
}

/// S8: after a short-lived entry the index still lists the long-lived one.
pub async fn s8_index_outlives_every_entry(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let generation = user.fill_new("long", LONG).await;
    user.fill("short", generation, SHORT).await;
    fixture.advance(SHORT * 3).await;
    assert!(user.has("long").await, "S8: the entry is there");
    assert!(fixture.index_members(&user.owner).await >= 1, "S8: the index lists it");
    assert!(user.invalidate().await >= 1, "S8: the invalidation finds it");
    assert!(user.collect_all().await >= 1, "S8: and its memory is freed");
}

/// S9: waves of short-lived entries leave an index of at most 2 × live + 64 members.
pub async fn s9_index_is_bounded(fixture: Arc<dyn Fixture>) {
    const WAVES: usize = 4;
    const ENTRIES_PER_WAVE: usize = 200;
    const LIVE: usize = 40;
    let user = Subject::new(&*fixture, "u");
    let generation = user.generation().await;
    for wave in 0..WAVES {
        for entry in 0..ENTRIES_PER_WAVE {
            user.fill(&format!("{wave}-{entry}"), generation, SHORT).await;
        }
        fixture.advance(SHORT).await;
    }
    // Stands for the maintenance that fills request: a few samples each.
    for entry in 0..LIVE {
        user.fill(&format!("live-{entry}"), generation, LONG).await;
        for _ in 0..4 {
            user.backend.trim(&user.owner).await.expect("trim");
        }
    }
    let members = fixture.index_members(&user.owner).await;
    assert!(members <= 2 * LIVE as u64 + 64, "S9: {members} members for {LIVE} live entries");
    for entry in 0..LIVE {
        assert!(user.has(&format!("live-{entry}")).await, "S9: trimming removed a live entry");
    }
    assert!(user.invalidate().await >= LIVE as u64, "S9: every live entry is still listed");
}

/// S10: one entry beyond the limit is not stored; a replacement is; an invalidation makes room.
pub async fn s10_owner_has_at_most_entries_max_entries(fixture: Arc<dyn Fixture>) {
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
    user.invalidate().await;
    let generation = user.generation().await;
    let filled = user.fill_up_to(2, "c", generation, LONG).await;
    assert_eq!(filled.outcome, FillOutcome::Stored, "S10: room after an invalidation");
}

/// S11: nothing is stored without a TTL.
pub async fn s11_everything_expires(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    user.fill_new("entry", LONG).await;
    assert_eq!(fixture.keys_without_ttl().await, Vec::<String>::new(), "S11: after a fill");
    user.invalidate().await;
    assert_eq!(
        fixture.keys_without_ttl().await,
        Vec::<String>::new(),
        "S11: after an invalidation"
    );
    user.fill_new("entry", LONG).await;
    user.collect_all().await;
    assert_eq!(fixture.keys_without_ttl().await, Vec::<String>::new(), "S11: after collecting");
}

/// S12: another handle frees invalidated entries in chunks, and keeps those filled since.
pub async fn s12_invalidated_entries_are_collected_in_chunks_by_any_handle(
    fixture: Arc<dyn Fixture>,
) {
    const ENTRIES: u64 = COLLECT_ENTRIES_MAX as u64 * 2 + 50;
    let first = Subject::new(&*fixture, "u");
    let generation = first.generation().await;
    for entry in 0..ENTRIES {
        first.fill(&format!("{entry}"), generation, LONG).await;
    }
    assert_eq!(first.invalidate().await, ENTRIES, "S12: all were listed");
    drop(first);

    let user = Subject::new(&*fixture, "u");
    let generation = user.generation().await;
    let filled = user.fill_up_to(ENTRIES_MAX, "7", generation, LONG).await;
    assert!(filled.garbage, "S12: a fill reports garbage");
    let chunk = user.backend.collect(&user.owner).await.expect("collect");
    assert!(chunk.more, "S12: one chunk is not all");
    let rest = user.collect_all().await;
    assert_eq!(chunk.entries + rest, ENTRIES - 1, "S12: all but the entry filled since");
    assert!(user.has("7").await, "S12: the entry filled since");
    let filled = user.fill_up_to(ENTRIES_MAX, "8", generation, LONG).await;
    assert!(!filled.garbage, "S12: nothing is left");
}

/// S13: an invalidation of one owner leaves the others, whatever their ids.
pub async fn s13_owners_do_not_affect_each_other(fixture: Arc<dyn Fixture>) {
    const IDS: [&str; 9] =
        ["u", "u:v", "u:e", "{u}", "}:{u", "%7Bu%7D", "u v", "ü", "u\u{0}\r\nFLUSHALL"];
    let users = IDS.map(|id| Subject::new(&*fixture, id));
    for user in &users {
        user.fill_new("entry", LONG).await;
    }
    for (invalidated, id) in IDS.iter().enumerate() {
        assert_eq!(users[invalidated].invalidate().await, 1, "S13: {id:?} has its own index");
        users[invalidated].collect_all().await;
        for (other, name) in IDS.iter().enumerate() {
            let has = users[other].has("entry").await;
            assert_eq!(has, other > invalidated, "S13: {name:?} after invalidating {id:?}");
        }
    }
}

/// S14: an invalidation counts the entries; without entries, or repeated, it gives 0.
pub async fn s14_invalidate_counts_entries_and_is_repeatable(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    assert_eq!(user.invalidate().await, 0, "S14: never seen");
    let generation = user.fill_new("a", LONG).await;
    user.fill("b", generation, LONG).await;
    user.fill("b", generation, LONG).await;
    assert_eq!(user.invalidate().await, 2, "S14: two entries, one filled twice");
    assert_eq!(user.invalidate().await, 0, "S14: repeated");
    assert!(!user.has("a").await, "S14: repeated");
}

/// S15: the generation of each owner outlives the entry, however soon it would have ended.
pub async fn s15_entry_of_several_owners_lives_for_its_ttl(fixture: Arc<dyn Fixture>) {
    let subjects = ["home", "other"].map(|id| Subject::new(&*fixture, id));
    let [home, other] = &subjects;
    let mut stamp = Vec::new();
    for subject in &subjects {
        let random_part = RandomHex::draw(&OsRandom).expect("random bytes");
        let lifetimes = Lifetimes { generation: SHORT, ..Lifetimes::of_entry(SHORT) };
        let made = subject.backend.generation(&subject.owner, &random_part, &lifetimes).await;
        let generation = made.expect("generation");
        stamp.push(Stamped { owner: subject.owner.clone(), generation });
    }
    let key = key("entry");
    let entry = Entry {
        owner: &home.owner,
        key: &key,
        generation: stamp[0].generation,
        others: &stamp[1..],
        stored: entry::encode(&stamp, 0, &key, Some(b"body")),
        lifetimes: Lifetimes::of_entry(LONG),
        entries_max: ENTRIES_MAX,
    };
    let filled = home.backend.fill(entry).await.expect("fill");
    assert_eq!(filled.outcome, FillOutcome::Stored, "S15: generations are current");
    fixture.advance(SHORT * 2).await;
    let owners = [home.owner.clone(), other.owner.clone()];
    let lookup = Lookup { entry: Some((&home.owner, &key)), owners: &owners, remaining: true };
    let found = home.backend.get(lookup).await.expect("get");
    let expected: Vec<_> = stamp.iter().map(|stamped| Some(stamped.generation)).collect();
    assert_eq!(found.generations, expected, "S15: both generations live on, in the owners' order");
    assert!(found.stored.is_some(), "S15: the entry lives on");
    let remaining = found.remaining.expect("S15: its remaining life is known");
    assert!(remaining <= LONG - SHORT, "S15: {remaining:?} remain of {LONG:?}");
}

/// S16: only this entry is removed, and the owner's generation stays.
pub async fn s16_remove_removes_one_entry(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let generation = user.fill_new("a", LONG).await;
    user.fill("b", generation, LONG).await;
    let remove = async |name| user.backend.remove(&user.owner, &key(name)).await.expect("remove");
    assert!(remove("a").await, "S16: there was one");
    assert!(!remove("a").await, "S16: there is none any more");
    assert!(!user.has("a").await && user.has("b").await, "S16: only this one");
    assert_eq!(user.generation().await, generation, "S16: the generation stays");
    assert_eq!(user.invalidate().await, 1, "S16: the index lists the other one");
}

/// S17: entry keys of the index, each once, at most as many as asked for; none after an invalidation.
pub async fn s17_members_lists_entry_keys(fixture: Arc<dyn Fixture>) {
    const NAMES: [&str; 3] = ["a", "b:c", "d{e}%"];
    let user = Subject::new(&*fixture, "u");
    let members =
        async |keys_max| user.backend.members(&user.owner, keys_max).await.expect("members");
    assert_eq!(members(10).await, Members::default(), "S17: no entry yet");
    let generation = user.generation().await;
    for name in NAMES {
        user.fill(name, generation, LONG).await;
    }
    Subject::new(&*fixture, "v").fill_new("of another owner", LONG).await;
    let all = members(10).await;
    let listed: BTreeSet<EntryKey> = all.keys.into_iter().collect();
    assert_eq!((all.count, listed), (3, NAMES.map(key).into()), "S17: all of them");
    let some = members(2).await;
    let distinct: BTreeSet<EntryKey> = some.keys.iter().cloned().collect();
    assert_eq!(
        (some.count, some.keys.len(), distinct.len()),
        (3, 2, 2),
        "S17: as many as asked for"
    );
    user.invalidate().await;
    assert_eq!(members(10).await, Members::default(), "S17: none after the invalidation");
}
