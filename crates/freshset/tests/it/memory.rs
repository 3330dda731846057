//! The bounds of the store inside the process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshset::store::memory::MemoryStore;
use freshset::store::{FillOutcome, Page};
use freshset::{EntryKey, Lifetimes, ManualClock, Nonce, Owner, Store, Token};

const CAPACITY_BYTES: u64 = 4 << 20;
/// What an entry weighs at least.
const ENTRY_BYTES_MIN: u64 = 300;

struct World {
    store: MemoryStore,
    lifetimes: Lifetimes,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
        Self { store: MemoryStore::with(CAPACITY_BYTES, clock), lifetimes }
    }

    async fn token(&self, owner: &Owner) -> Token {
        self.store.token(owner, &Nonce::from_bits(1), &self.lifetimes).await.unwrap()
    }

    async fn fill(&self, owner: &Owner, token: Token, name: &str) -> FillOutcome {
        let key = &EntryKey::new([name]).unwrap();
        let stored = Bytes::copy_from_slice(token.as_bytes());
        let lifetimes = self.lifetimes;
        let page = Page { owner, key, token, stored, lifetimes, pages_max: u32::MAX };
        self.store.fill(page).await.unwrap().outcome
    }
}

fn owner(number: u64) -> Owner {
    Owner::new("user", &number.to_string()).unwrap()
}

#[tokio::test]
async fn a_million_entries_leave_no_more_names_than_fit_into_the_capacity() {
    const ENTRIES: u64 = 1_000_000;
    const OWNERS: u64 = 20;
    let world = World::new();
    let mut owners = Vec::new();
    for number in 0..OWNERS {
        let owner = owner(number);
        let token = world.token(&owner).await;
        owners.push((owner, token));
    }
    for number in 0..ENTRIES {
        let (owner, token) = &owners[(number % OWNERS) as usize];
        world.fill(owner, *token, &number.to_string()).await;
    }
    let members: u64 = owners.iter().map(|(owner, _)| world.store.index_members(owner)).sum();
    assert!(members <= CAPACITY_BYTES / ENTRY_BYTES_MIN, "{members} names");
    assert!(members > 1000, "{members} names: entries that are there are listed");
}
