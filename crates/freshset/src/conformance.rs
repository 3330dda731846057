//! The rules of [`Store`], one check each, for whoever writes a store.
//!
//! A check panics with its rule's number if the store breaks it. [`RULES`] lists them all, so a test
//! can run every one and a planted mistake can be shown to fail at least one. In a store's own tests
//! [`store_conformance!`](crate::store_conformance) makes one named test per rule.

#![expect(clippy::expect_used, reason = "a check ends at the first thing that goes wrong")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::entry;
use crate::scope::{EntryKey, Owner};
use crate::store::{Dropped, FillOutcome, Filled, Lookup, Page, REAP_PAGES_MAX, Store};
use crate::token::{Nonce, Token};
use crate::ttl::Lifetimes;

/// An empty store, and the means to do to it what time and memory pressure do.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A handle of the store. Every call gives another handle of the same store.
    fn store(&self) -> Arc<dyn Store>;
    /// Lets this much time pass for the store.
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
        macro_rules! store_conformance {
            (#[$test:meta] $fixture:expr) => {
                $(#[$test] async fn $name() { $crate::conformance::$name($fixture).await; })+
            };
        }
    };
}

rules![
    s1_a_page_is_given_only_under_its_generation,
    s2_an_expired_page_is_absent,
    s3_a_fill_needs_the_present_generation,
    s4_a_dropped_page_never_comes_back,
    s5_a_lost_generation_loses_pages_not_freshness,
    s6_a_token_never_comes_back,
    s7_a_lost_index_changes_no_answer,
    s8_the_index_outlives_every_page,
    s9_the_index_bounds_itself,
    s10_an_owner_has_at_most_so_many_pages,
    s11_everything_ends,
    s12_dropped_pages_are_reaped_in_chunks_by_anybody,
    s13_owners_do_not_touch_each_other,
    s14_a_drop_counts_pages_and_may_be_repeated,
];

/// Long enough that nothing ends during a check.
const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for, long enough that a slow machine stores and reads a page in it.
const SHORT: Duration = Duration::from_millis(400);
const PAGES_MAX: u32 = 1_000_000;

/// One owner of one store, as a reader and a writer use it.
struct Subject {
    store: Arc<dyn Store>,
    owner: Owner,
}

impl Subject {
    fn new(fixture: &dyn Fixture, id: &str) -> Self {
        Self { store: fixture.store(), owner: owner(id) }
    }

    async fn token(&self) -> Token {
        let nonce = Nonce::draw(&crate::random::OsRandom).expect("random bytes");
        self.token_from(&nonce).await
    }

    async fn token_from(&self, nonce: &Nonce) -> Token {
        let lifetimes = Lifetimes::of_entry(LONG);
        self.store.token(&self.owner, nonce, &lifetimes).await.expect("token")
    }

    async fn fill(&self, name: &str, token: Token, ttl: Duration) -> FillOutcome {
        self.fill_up_to(PAGES_MAX, name, token, ttl).await.outcome
    }

    async fn fill_up_to(&self, pages_max: u32, name: &str, token: Token, ttl: Duration) -> Filled {
        let (owner, key) = (&self.owner, &key(name));
        let stored = entry::encode(&token, 0, owner, key, name.as_bytes());
        let lifetimes = Lifetimes::of_entry(ttl);
        let page = Page { owner, key, token, stored, lifetimes, pages_max };
        self.store.fill(page).await.expect("fill")
    }

    async fn fill_new(&self, name: &str, ttl: Duration) -> Token {
        let token = self.token().await;
        let outcome = self.fill(name, token, ttl).await;
        assert_eq!(outcome, FillOutcome::Stored, "a fill under the present generation");
        token
    }

    /// The payload of the page, if it is given.
    async fn get(&self, name: &str) -> Option<Bytes> {
        let key = key(name);
        match self.store.get(&self.owner, &key).await.expect("get") {
            Lookup::Hit { token, stored } => {
                assert_eq!(entry::stamp(&stored), Some(token), "a hit tells its stamp");
                let page = entry::decode(&stored, 0, &self.owner, &key);
                Some(page.expect("what was stored is given"))
            }
            Lookup::Miss(_) => None,
        }
    }

    async fn has(&self, name: &str) -> bool {
        self.get(name).await.is_some()
    }

    async fn drop(&self) -> u64 {
        let heap = Nonce::draw(&crate::random::OsRandom).expect("random bytes");
        let lifetimes = Lifetimes::of_entry(LONG);
        let Dropped { pages } =
            self.store.drop_owner(&self.owner, &heap, &lifetimes).await.expect("drop");
        pages
    }

    /// Reaps until nothing is left; gives the number of pages freed.
    async fn reap_all(&self) -> u64 {
        let mut pages = 0;
        loop {
            let reaped = self.store.reap(&self.owner).await.expect("reap");
            assert!(reaped.pages <= REAP_PAGES_MAX as u64, "S12: a chunk has a limit");
            pages += reaped.pages;
            if !reaped.more {
                return pages;
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
pub async fn s1_a_page_is_given_only_under_its_generation(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    assert!(!user.has("page").await, "S1: nothing was filled");
    let token = user.fill_new("page", LONG).await;
    assert_eq!(user.get("page").await.as_deref(), Some(&b"page"[..]), "S1: filled");
    assert_eq!(user.token().await, token, "S1: a fill leaves the generation as it is");
    user.drop().await;
    assert!(!user.has("page").await, "S1: no generation");
    assert_ne!(user.token().await, token, "S1: a drop ends the generation");
    assert!(!user.has("page").await, "S1: another generation");
}

/// S2: at its TTL a page is absent, and its place can be filled again.
pub async fn s2_an_expired_page_is_absent(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let token = user.fill_new("page", SHORT).await;
    user.fill("other", token, LONG).await;
    assert!(user.has("page").await, "S2: not yet");
    fixture.pass(SHORT).await;
    assert!(!user.has("page").await, "S2: expired");
    assert!(user.has("other").await, "S2: only this page");
    assert_eq!(user.fill("page", token, LONG).await, FillOutcome::Stored, "S2: again");
    assert!(user.has("page").await, "S2: again");
}

/// S3: the reader that loaded before a drop and fills after it is refused.
pub async fn s3_a_fill_needs_the_present_generation(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let early = user.token().await;
    user.drop().await;
    assert_eq!(user.fill("page", early, LONG).await, FillOutcome::Refused, "S3: no generation");
    assert!(!user.has("page").await, "S3: no generation");
    let late = user.token().await;
    assert_eq!(user.fill("page", early, LONG).await, FillOutcome::Refused, "S3: another one");
    assert!(!user.has("page").await, "S3: another one");
    assert_eq!(user.fill("page", late, LONG).await, FillOutcome::Stored, "S3: the present one");
}

/// S4: neither a late fill nor a new generation makes a dropped page readable.
pub async fn s4_a_dropped_page_never_comes_back(fixture: Arc<dyn Fixture>) {
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

/// S5: a generation lost at any moment makes pages absent, old tokens stay invalid.
pub async fn s5_a_lost_generation_loses_pages_not_freshness(fixture: Arc<dyn Fixture>) {
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
    user.token().await;
    assert!(!user.has("page").await, "S5: made anew");
    assert!(!user.has("old").await, "S5: made anew");
    assert_eq!(user.fill("page", second, LONG).await, FillOutcome::Refused, "S5: old token");
}

/// S6: the same request for a token, delivered again after a drop, makes another token.
pub async fn s6_a_token_never_comes_back(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let request = Nonce::from_bits(0x5eed);
    let token = user.token_from(&request).await;
    assert_eq!(user.token_from(&request).await, token, "S6: repeated while it is there");
    user.fill("page", token, LONG).await;
    // Without its index a page is not found by a drop: only the generation keeps it unreadable.
    fixture.evict_index(&user.owner).await;
    user.drop().await;
    assert_ne!(user.token_from(&request).await, token, "S6: delivered again after a drop");
    assert!(!user.has("page").await, "S6: the dropped page");
    fixture.evict_generation(&user.owner).await;
    assert_ne!(user.token_from(&request).await, token, "S6: delivered again after a loss");
}

/// S7: a drop reaches pages that the index no longer lists.
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

/// S8: after a short-lived page the index still lists the long-lived one.
pub async fn s8_the_index_outlives_every_page(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let token = user.fill_new("long", LONG).await;
    user.fill("short", token, SHORT).await;
    fixture.pass(SHORT * 3).await;
    assert!(user.has("long").await, "S8: the page lives");
    assert!(fixture.index_members(&user.owner).await >= 1, "S8: the index lists it");
    assert!(user.drop().await >= 1, "S8: the drop finds it");
    assert!(user.reap_all().await >= 1, "S8: and its memory is freed");
}

/// S9: waves of short-lived pages leave an index of at most 2 × live + 64 members.
pub async fn s9_the_index_bounds_itself(fixture: Arc<dyn Fixture>) {
    const WAVES: usize = 4;
    const PAGES_PER_WAVE: usize = 200;
    const LIVE: usize = 40;
    let user = Subject::new(&*fixture, "u");
    let token = user.token().await;
    for wave in 0..WAVES {
        for page in 0..PAGES_PER_WAVE {
            user.fill(&format!("{wave}-{page}"), token, SHORT).await;
        }
        fixture.pass(SHORT).await;
    }
    // What fills ask for in the background: a few samples each.
    for page in 0..LIVE {
        user.fill(&format!("live-{page}"), token, LONG).await;
        for _ in 0..4 {
            user.store.trim(&user.owner).await.expect("trim");
        }
    }
    let members = fixture.index_members(&user.owner).await;
    assert!(members <= 2 * LIVE as u64 + 64, "S9: {members} members for {LIVE} live pages");
    for page in 0..LIVE {
        assert!(user.has(&format!("live-{page}")).await, "S9: trimming removed a live page");
    }
    assert!(user.drop().await >= LIVE as u64, "S9: every live page is still listed");
}

/// S10: one page more than allowed is not stored; replacing is; a drop makes room.
pub async fn s10_an_owner_has_at_most_so_many_pages(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    let token = user.token().await;
    for name in ["a", "b"] {
        let filled = user.fill_up_to(2, name, token, LONG).await;
        assert_eq!(filled.outcome, FillOutcome::Stored, "S10: room for {name}");
    }
    let filled = user.fill_up_to(2, "c", token, LONG).await;
    assert_eq!(filled.outcome, FillOutcome::Full, "S10: no room");
    assert!(!user.has("c").await && user.has("a").await && user.has("b").await, "S10: no room");
    let filled = user.fill_up_to(2, "a", token, LONG).await;
    assert_eq!(filled.outcome, FillOutcome::Stored, "S10: replaced");
    user.drop().await;
    let token = user.token().await;
    let filled = user.fill_up_to(2, "c", token, LONG).await;
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
    user.reap_all().await;
    assert_eq!(fixture.immortal().await, Vec::<String>::new(), "S11: after reaping");
}

/// S12: another handle frees what was dropped, chunk by chunk, and spares what was filled since.
pub async fn s12_dropped_pages_are_reaped_in_chunks_by_anybody(fixture: Arc<dyn Fixture>) {
    const PAGES: u64 = REAP_PAGES_MAX as u64 * 2 + 50;
    let dropper = Subject::new(&*fixture, "u");
    let token = dropper.token().await;
    for page in 0..PAGES {
        dropper.fill(&format!("{page}"), token, LONG).await;
    }
    assert_eq!(dropper.drop().await, PAGES, "S12: all were listed");
    drop(dropper);

    let user = Subject::new(&*fixture, "u");
    let token = user.token().await;
    let filled = user.fill_up_to(PAGES_MAX, "7", token, LONG).await;
    assert!(filled.garbage, "S12: a fill tells that there is garbage");
    let first = user.store.reap(&user.owner).await.expect("reap");
    assert!(first.more, "S12: one chunk is not all");
    let rest = user.reap_all().await;
    assert_eq!(first.pages + rest, PAGES - 1, "S12: all but the page filled since");
    assert!(user.has("7").await, "S12: the page filled since");
    let filled = user.fill_up_to(PAGES_MAX, "8", token, LONG).await;
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
        users[dropped].reap_all().await;
        for (other, name) in IDS.iter().enumerate() {
            let has = users[other].has("page").await;
            assert_eq!(has, other > dropped, "S13: {name:?} after dropping {id:?}");
        }
    }
}

/// S14: a drop counts the pages; without pages, or repeated, it gives 0.
pub async fn s14_a_drop_counts_pages_and_may_be_repeated(fixture: Arc<dyn Fixture>) {
    let user = Subject::new(&*fixture, "u");
    assert_eq!(user.drop().await, 0, "S14: never seen");
    let token = user.fill_new("a", LONG).await;
    user.fill("b", token, LONG).await;
    user.fill("b", token, LONG).await;
    assert_eq!(user.drop().await, 2, "S14: two pages, one filled twice");
    assert_eq!(user.drop().await, 0, "S14: repeated");
    assert!(!user.has("a").await, "S14: repeated");
}
