//! Futures that a test runs step by step: each stops before and after every call to the backend, and
//! wherever it asks for it.
//!
//! So a test chooses every interleaving itself, on one thread and without waiting, and can repeat it.

use std::cell::RefCell;
use std::fmt;
use std::future::{self, Future};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use freshset::backend::{
    Collected, Entry, Filled, Found, Generation, Invalidated, Lifetimes, Lookup, Members,
    RandomHex, Trimmed,
};
use freshset::{BackendError, CacheBackend, EntryKey, Owner};
use tokio::task::unconstrained;

thread_local! {
    /// The run whose future is being polled.
    static CURRENT: RefCell<Option<Arc<State>>> = const { RefCell::new(None) };
}

/// What a run shares with the backend that it calls.
#[derive(Debug, Default)]
struct State {
    /// Calls that the backend works on.
    calls: AtomicUsize,
    fails: AtomicBool,
}

/// A future that goes on only when the test says so.
pub(crate) struct Run<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    state: Arc<State>,
}

impl<T> Run<T> {
    /// Nothing happens before the first [`step`](Self::step).
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self { future: Box::pin(unconstrained(future)), state: Arc::default() }
    }

    /// Goes on to the next stop, or until it waits for another run; gives the result at the end.
    pub(crate) async fn step(&mut self) -> Option<T> {
        let Self { future, state } = self;
        future::poll_fn(|context| {
            CURRENT.set(Some(state.clone()));
            let polled = future.as_mut().poll(context);
            CURRENT.set(None);
            match polled {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if state.calls.load(Ordering::Relaxed) > 0 => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }

    /// Goes on to the end.
    pub(crate) async fn finish(mut self) -> T {
        loop {
            if let Some(result) = self.step().await {
                return result;
            }
        }
    }

    /// Lets the call at which it has stopped fail: the backend gets the command or not, and the answer is
    /// lost.
    pub(crate) fn fail_next_call(&self) {
        self.state.fails.store(true, Ordering::Relaxed);
    }
}

/// Stops here until the next step.
pub(crate) async fn stop() {
    let mut has_stopped = false;
    future::poll_fn(|context| {
        if mem::replace(&mut has_stopped, true) {
            return Poll::Ready(());
        }
        // So that it goes on outside of a run.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A backend whose callers stop before and after each call, if they are a [`Run`].
pub(crate) struct SteppedBackend(pub(crate) Arc<dyn CacheBackend>);

async fn stepped<T>(
    call: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    let Some(run) = CURRENT.with_borrow(Clone::clone) else { return call.await };
    stop().await;
    fail_if_asked(&run)?;
    run.calls.fetch_add(1, Ordering::Relaxed);
    let answer = call.await;
    run.calls.fetch_sub(1, Ordering::Relaxed);
    stop().await;
    fail_if_asked(&run)?;
    answer
}

fn fail_if_asked(run: &State) -> Result<(), BackendError> {
    if run.fails.swap(false, Ordering::Relaxed) {
        return Err(BackendError::Timeout { backend: "stepped", waited: Duration::ZERO });
    }
    Ok(())
}

#[async_trait]
impl CacheBackend for SteppedBackend {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        stepped(self.0.get(lookup)).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        stepped(self.0.generation(owner, random_part, lifetimes)).await
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        stepped(self.0.fill(entry)).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        stepped(self.0.invalidate(owner, garbage_set, lifetimes)).await
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        stepped(self.0.remove(owner, key)).await
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        self.0.collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        self.0.trim(owner).await
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        self.0.members(owner, keys_max).await
    }
}

impl fmt::Debug for SteppedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SteppedBackend").field(&self.0).finish()
    }
}
