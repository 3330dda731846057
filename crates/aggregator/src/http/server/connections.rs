//! Open connections, and which one is evicted for a new client at the limit.
//!
//! A connection is idle while it waits for the head of a request. At the limit the oldest idle one is
//! evicted: first those that never sent a request, then those that are kept alive for the next one. A
//! connection with a request under way is never evicted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long a new client waits for an evicted connection to close before the next one is evicted.
const EVICTION_WAIT: Duration = Duration::from_millis(50);

/// The connections of a server.
#[derive(Clone)]
pub(super) struct Connections {
    permits: Arc<Semaphore>,
    idle: Arc<Idle>,
}

#[derive(Default)]
struct Idle {
    queue: Mutex<Queue>,
    /// A connection became idle.
    grown: Notify,
}

#[derive(Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<Age, CancellationToken>,
}

/// Order of eviction: connections that never sent a request, then the others; the oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    has_served: bool,
    number: u64,
}

/// One connection. It is idle at first.
pub(super) struct Activity {
    idle: Arc<Idle>,
    /// Its key in the queue. `None`: a request is under way, or it is evicted.
    age: Mutex<Option<Age>>,
    evicted: CancellationToken,
    has_served: AtomicBool,
    is_busy: AtomicBool,
    has_unread_body: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

/// A request under way, up to the end of its answer.
pub(super) struct Busy(Arc<Activity>);

impl Connections {
    pub(super) fn new(connections_max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(connections_max)), idle: Arc::default() }
    }

    /// Admits one more connection. At the limit, idle ones are evicted until there is room.
    pub(super) async fn admit(&self) -> Option<Arc<Activity>> {
        let permits = Arc::clone(&self.permits);
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait_for_room(permits).await?,
        };
        let activity = Activity {
            idle: Arc::clone(&self.idle),
            age: Mutex::new(None),
            evicted: CancellationToken::new(),
            has_served: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            has_unread_body: AtomicBool::new(false),
            _permit: permit,
        };
        activity.wait_in_queue();
        Some(Arc::new(activity))
    }

    async fn wait_for_room(&self, permits: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let mut permit = std::pin::pin!(permits.acquire_owned());
        loop {
            let grown = self.idle.grown.notified();
            if let Some(oldest) = self.idle.lock().waiting.pop_first() {
                tracing::debug!("evicting the oldest idle connection for a new one");
                oldest.1.cancel();
            }
            tokio::select! {
                permit = &mut permit => return permit.ok(),
                () = grown => {}
                // The evicted one may still be sending its answer; another may be idle.
                () = sleep(EVICTION_WAIT) => {}
            }
        }
    }
}

impl Activity {
    /// Waits until this connection is evicted.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Whether it ever sent the head of a request.
    pub(super) fn has_served(&self) -> bool {
        self.has_served.load(Ordering::Relaxed)
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }

    /// Whether the client may still be sending a body that was not read.
    pub(super) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Ordering::Relaxed)
    }

    /// Notes that the client may still be sending a body that was not read.
    pub(super) fn leaves_body_unread(&self) {
        self.has_unread_body.store(true, Ordering::Relaxed);
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.has_served.store(true, Ordering::Relaxed);
        self.is_busy.store(true, Ordering::Relaxed);
        self.leave_queue();
        Busy(Arc::clone(self))
    }

    fn wait_in_queue(&self) {
        let mut queue = self.idle.lock();
        queue.next += 1;
        let age = Age { has_served: self.has_served(), number: queue.next };
        queue.waiting.insert(age, self.evicted.clone());
        drop(queue);
        *self.lock_age() = Some(age);
        self.idle.grown.notify_waiters();
    }

    fn leave_queue(&self) {
        if let Some(age) = self.lock_age().take() {
            self.idle.lock().waiting.remove(&age);
        }
    }

    fn lock_age(&self) -> MutexGuard<'_, Option<Age>> {
        self.age.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.leave_queue();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Relaxed);
        self.0.wait_in_queue();
    }
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock was held leaves whole values.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
