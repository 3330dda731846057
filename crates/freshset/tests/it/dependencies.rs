//! Owners that a loader begins to look up and does not wait for: the entry is given and not stored, because
//! an invalidation of such an owner would not make it unreadable.

use std::cell::Cell;
use std::future::{self, Future};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::{BoxError, Cache, Dependencies, EntryKey, Owner, Source, Stored};

use crate::stepped::{Run, SteppedBackend};

type LookUp = Pin<Box<dyn Future<Output = ()>>>;

/// A team's board that shows a number of its project.
struct World {
    cache: Cache,
    team: Owner,
    project: Owner,
    board: EntryKey,
    number: Rc<Cell<u64>>,
}

impl World {
    fn new() -> Self {
        Self {
            cache: Cache::new(SteppedBackend(Arc::new(MemoryBackend::new()))),
            team: Owner::new("team", "t").unwrap(),
            project: Owner::new("project", "p").unwrap(),
            board: EntryKey::new(["board"]).unwrap(),
            number: Rc::default(),
        }
    }

    /// Reads the board. The loader begins to look up the project, and does `then` instead of waiting for it.
    async fn read(&self, then: impl FnOnce(LookUp) + 'static) -> (Bytes, Source) {
        let Self { cache, team, project, board, number } = self;
        let (cache, number) = (cache.clone(), number.clone());
        let (team, project, board) = (team.clone(), project.clone(), board.clone());
        let read = async move {
            let load = async |dependencies: Dependencies| {
                let mut look_up: LookUp =
                    Box::pin(async move { dependencies.depend_on(&project).await });
                future::poll_fn(|context| {
                    assert!(look_up.as_mut().poll(context).is_pending(), "it has just begun");
                    Poll::Ready(())
                })
                .await;
                then(look_up);
                Ok::<_, BoxError>(Bytes::from(number.get().to_string()))
            };
            let answer = cache.entry(&team, &board).get_or_load_with(load).await.unwrap();
            (answer.bytes, answer.source)
        };
        Run::new(read).finish().await
    }

    async fn write(&self) {
        self.number.set(self.number.get() + 1);
        self.cache.invalidate(&self.project).await.unwrap();
    }
}

const NOT_STORED: Source = Source::Loaded { stored: Stored::Failed, shared: false };

#[tokio::test]
async fn entry_whose_loader_cancels_a_look_up_is_not_stored() {
    let world = World::new();
    let before = world.read(drop).await;
    world.write().await;
    let after = world.read(drop).await;
    let expected = ["0", "1"].map(|number| (Bytes::from(number), NOT_STORED));
    assert_eq!([before, after], expected);
}

#[tokio::test]
async fn entry_whose_loader_does_not_wait_for_a_look_up_is_not_stored() {
    let world = World::new();
    let unfinished = Rc::new(Cell::new(None));
    let keep = unfinished.clone();
    let before = world.read(move |look_up| keep.set(Some(look_up))).await;
    unfinished.take().unwrap().await; // it ends after the load, and changes nothing
    world.write().await;
    let after = world.read(drop).await;
    let expected = ["0", "1"].map(|number| (Bytes::from(number), NOT_STORED));
    assert_eq!([before, after], expected);
}
