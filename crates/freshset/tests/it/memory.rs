//! Bounds of the backend inside the process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{Entry, FillOutcome, Generation, Lifetimes, RandomHex};
use freshset::testing::ManualClock;
use freshset::{CacheBackend, EntryKey, Owner};

const CAPACITY_BYTES: u64 = 4 << 20;
/// Least weight of an entry.
const ENTRY_BYTES_MIN: u64 = 300;

struct World {
    backend: MemoryBackend,
    lifetimes: Lifetimes,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
        Self { backend: MemoryBackend::with(CAPACITY_BYTES, clock), lifetimes }
    }

    async fn generation(&self, owner: &Owner) -> Generation {
        self.backend.generation(owner, &RandomHex::from_bits(1), &self.lifetimes).await.unwrap()
    }

    async fn fill(&self, owner: &Owner, generation: Generation, name: &str) -> FillOutcome {
        let key = &EntryKey::new([name]).unwrap();
        let stored = Bytes::copy_from_slice(generation.as_bytes());
        let entry = Entry::new(owner, key, generation, stored, self.lifetimes);
        self.backend.fill(entry).await.unwrap().outcome
    }
}

fn owner(number: u64) -> Owner {
    Owner::new("user", number).unwrap()
}

#[tokio::test]
async fn million_entries_leave_no_more_index_members_than_fit_into_the_capacity() {
    const ENTRIES: u64 = 1_000_000;
    const OWNERS: u64 = 20;
    let world = World::new();
    let mut owners = Vec::new();
    for number in 0..OWNERS {
        let owner = owner(number);
        let generation = world.generation(&owner).await;
        owners.push((owner, generation));
    }
    for number in 0..ENTRIES {
        let (owner, generation) = &owners[(number % OWNERS) as usize];
        world.fill(owner, *generation, &number.to_string()).await;
    }
    let members: u64 = owners.iter().map(|(owner, _)| world.backend.index_members(owner)).sum();
    assert!(members <= CAPACITY_BYTES / ENTRY_BYTES_MIN, "{members} members");
    assert!(members > 1000, "{members} members: existing entries are listed");
}
