//! Entries of several owners: forced interleavings, each also with the mistake that makes it stale.
//!
//! The database has a number for each owner, and an entry holds the numbers that it was loaded from. A
//! test holds a reader inside its load for as long as it wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::testing::Mutant;
use freshset::testing::conformance::Fixture;
use freshset::{
    Answer, BoxError, BypassReason, Cache, Dependencies, EntryKey, LoadError, OWNERS_MAX, Owner,
    Owners, Source, Stored,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::fixtures::{MemoryFixture, RedisFixture};
use crate::servers;

/// A team with one project, and a board that shows both.
#[derive(Clone)]
struct World {
    cache: Cache,
    team: Owner,
    project: Owner,
    board: EntryKey,
    numbers: Arc<[AtomicU64; 2]>,
}

/// How the board's loader says that it depends on the project.
#[derive(Clone, Copy, PartialEq)]
enum Project {
    /// The reader names it before the load.
    Named,
    /// The loader finds it.
    Found,
}

impl World {
    fn new(fixture: &dyn Fixture, mutant: Option<Mutant>) -> Self {
        let mut builder = Cache::builder(fixture.backend());
        if let Some(mutant) = mutant {
            builder = builder.with_mutant(mutant);
        }
        Self {
            cache: builder.build(),
            team: Owner::new("team", "t").unwrap(),
            project: Owner::new("project", "q").unwrap(),
            board: EntryKey::new(["board"]).unwrap(),
            numbers: Arc::default(),
        }
    }

    fn owners(&self, project: Project) -> Owners {
        match project {
            Project::Named => Owners::of(&self.team).and(&self.project),
            Project::Found => Owners::of(&self.team),
        }
    }

    async fn load(&self, project: Project, dependencies: Dependencies) -> Bytes {
        let team = self.numbers[0].load(Ordering::SeqCst);
        if project == Project::Found {
            dependencies.depend_on(&self.project).await;
        }
        let project = self.numbers[1].load(Ordering::SeqCst);
        Bytes::from(format!("{team},{project}"))
    }

    async fn answer(&self, project: Project) -> Answer {
        let load = async |dependencies| Ok::<_, BoxError>(self.load(project, dependencies).await);
        let request = self.cache.entry(self.owners(project), &self.board);
        request.get_or_load_with(load).await.unwrap()
    }

    async fn read(&self, project: Project) -> Bytes {
        self.answer(project).await.bytes
    }

    /// Starts a reader and waits until it has read the database and has not stored its entry.
    async fn read_and_hold(&self, project: Project) -> HeldReader {
        let (loaded, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (world, has_loaded, may_go_on) = (self.clone(), loaded.clone(), release.clone());
        let reader = tokio::spawn(async move {
            let load = async |dependencies| {
                let bytes = world.load(project, dependencies).await;
                has_loaded.add_permits(1);
                may_go_on.acquire().await?.forget();
                Ok::<_, BoxError>(bytes)
            };
            let request = world.cache.entry(world.owners(project), &world.board);
            request.get_or_load_with(load).await.unwrap().bytes
        });
        loaded.acquire().await.unwrap().forget();
        HeldReader { release, reader }
    }

    /// Changes what one owner has and invalidates it, and so may acknowledge.
    async fn write_team(&self) {
        self.numbers[0].fetch_add(1, Ordering::SeqCst);
        self.cache.invalidate(&self.team).await.unwrap();
    }

    async fn write_project(&self) {
        self.numbers[1].fetch_add(1, Ordering::SeqCst);
        self.cache.invalidate(&self.project).await.unwrap();
    }
}

struct HeldReader {
    release: Arc<Semaphore>,
    reader: JoinHandle<Bytes>,
}

impl HeldReader {
    async fn go_on(self) -> Bytes {
        self.release.add_permits(1);
        self.reader.await.unwrap()
    }
}

/// On a Cluster team and project are on different servers.
async fn worlds(mutant: Option<Mutant>) -> [World; 3] {
    let fixtures =
        [MemoryFixture::empty(None), RedisFixture::empty(None).await, servers::cluster(None).await];
    fixtures.map(|fixture| World::new(&*fixture, mutant))
}

/// What a reader gets after the project was changed and invalidated while the entry was stored.
async fn read_after_invalidation(world: &World, project: Project) -> Bytes {
    assert_eq!(world.read(project).await, "0,0");
    assert_eq!(world.answer(project).await.source, Source::Hit);
    world.write_project().await;
    world.read(project).await
}

#[tokio::test]
async fn invalidation_of_any_owner_makes_the_entry_unreadable() {
    for project in [Project::Named, Project::Found] {
        for world in worlds(None).await {
            assert_eq!(read_after_invalidation(&world, project).await, "0,1");
            assert_eq!(world.answer(project).await.source, Source::Hit);
            world.write_team().await;
            assert_eq!(world.read(project).await, "1,1");
            world.cache.invalidate(&Owner::new("project", "another").unwrap()).await.unwrap();
            assert_eq!(world.answer(project).await.source, Source::Hit);
        }
    }
}

#[tokio::test]
async fn comparing_the_home_owner_only_is_stale() {
    for world in worlds(Some(Mutant::HomeOwnerOnly)).await {
        assert_eq!(read_after_invalidation(&world, Project::Named).await, "0,0");
    }
}

/// A reader loads, the project changes and is invalidated, the reader stores: what the next one gets.
async fn read_after_late_fill(world: &World, project: Project) -> Bytes {
    let reader = world.read_and_hold(project).await;
    world.write_project().await;
    assert_eq!(reader.go_on().await, "0,0", "it began before the change and may see the old state");
    world.read(project).await
}

#[tokio::test]
async fn entry_loaded_before_an_invalidation_of_any_owner_is_not_readable_after_it() {
    for project in [Project::Named, Project::Found] {
        for world in worlds(None).await {
            assert_eq!(read_after_late_fill(&world, project).await, "0,1");
        }
    }
}

#[tokio::test]
async fn stamping_at_fill_time_is_stale() {
    for world in worlds(Some(Mutant::StampAtFillTime)).await {
        assert_eq!(read_after_late_fill(&world, Project::Named).await, "0,0");
    }
}

#[tokio::test]
async fn obtaining_the_generation_after_the_part_is_stale() {
    for world in worlds(Some(Mutant::GenerationAfterPart)).await {
        assert_eq!(read_after_late_fill(&world, Project::Found).await, "0,0");
    }
}

/// A reader that starts after the invalidation of an owner that a running load has found.
async fn read_that_joins(world: World) -> Bytes {
    let leader = world.read_and_hold(Project::Found).await;
    world.write_project().await;
    let joining = tokio::spawn(async move { world.read(Project::Found).await });
    // In memory a look-up waits for nothing, so the reader has joined when it has run once.
    tokio::task::yield_now().await;
    assert_eq!(leader.go_on().await, "0,0");
    joining.await.unwrap()
}

#[tokio::test]
async fn shared_load_is_not_used_after_an_owner_that_it_found_was_invalidated() {
    let world = World::new(&*MemoryFixture::empty(None), None);
    assert_eq!(read_that_joins(world).await, "0,1");
    let unchecked = Some(Mutant::SharedLoadUnchecked);
    let world = World::new(&*MemoryFixture::empty(None), unchecked);
    assert_eq!(read_that_joins(world).await, "0,0", "the comparison is what prevents it");
}

#[tokio::test]
async fn readers_that_name_other_owners_do_not_share_an_entry() {
    for world in worlds(None).await {
        world.read(Project::Named).await;
        let source = world.answer(Project::Found).await.source;
        assert_eq!(
            source,
            Source::Hit,
            "one that names fewer compares those it finds in the entry"
        );
        let reversed = Owners::of(&world.project).and(&world.team);
        assert_eq!(world.cache.get(reversed, &world.board).await, None, "another home");
        let stranger = world.owners(Project::Named).and(&Owner::new("team", "x").unwrap());
        assert_eq!(world.cache.get(stranger, &world.board).await, None, "one owner more");
    }
}

#[tokio::test]
async fn entry_of_too_many_owners_is_loaded_past_the_cache() {
    for world in worlds(None).await {
        let more: Vec<Owner> =
            (0..OWNERS_MAX).map(|id| Owner::new("project", id).unwrap()).collect();
        let owners = Owners::of(&world.team).and_all(&more);
        let load = || async { Ok::<_, BoxError>(Bytes::from("board")) };
        let answer = world.cache.get_or_load(&owners, &world.board, load).await.unwrap();
        assert_eq!(answer.source, Source::Bypass(BypassReason::TooManyOwners));
        let most = Owners::of(&world.team).and_all(&more[1..]);
        let answer = world.cache.get_or_load(&most, &world.board, load).await.unwrap();
        assert_eq!(answer.source, Source::Loaded { stored: Stored::Yes, shared: false });
        let answer = world.cache.get_or_load(&most, &world.board, load).await.unwrap();
        assert_eq!(answer.source, Source::Hit);
    }
}

#[tokio::test]
async fn loader_that_asks_for_its_own_entry_gets_an_error() {
    let world = World::new(&*MemoryFixture::empty(None), None);
    let inner = world.clone();
    let load = || async move {
        let load = || async { Ok::<_, BoxError>(Bytes::from("inner")) };
        let asked = inner.cache.get_or_load(&inner.team, &inner.board, load).await;
        assert!(matches!(asked, Err(LoadError::Recursive)), "{asked:?}");
        Ok::<_, BoxError>(Bytes::from("outer"))
    };
    let answer = world.cache.get_or_load(&world.team, &world.board, load).await.unwrap();
    assert_eq!(answer.bytes, "outer");
}

/// A loader that asks from another task is not recognised.
#[tokio::test]
async fn reader_loads_by_itself_after_the_load_timeout() {
    let world = World::new(&*MemoryFixture::empty(None), None);
    let leader = world.read_and_hold(Project::Named).await;
    let request = world.cache.entry(world.owners(Project::Named), &world.board);
    let load = || async { Ok::<_, BoxError>(Bytes::from("own")) };
    let answer = request.load_timeout(Duration::from_millis(1)).get_or_load(load).await.unwrap();
    let source = Source::Loaded { stored: Stored::ByAnother, shared: false };
    assert_eq!((answer.bytes, answer.source), (Bytes::from("own"), source));
    assert_eq!(leader.go_on().await, "0,0");
    assert_eq!(world.read(Project::Named).await, "0,0", "the leader has stored its own");
}
