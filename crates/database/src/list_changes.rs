//! Changes of the lists of users, as they are committed by any process.

use std::sync::Arc;

use projection::UserId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::version::Version;

/// Changes that wait for a listener. One that is slower learns that it missed some.
pub const LIST_CHANGES_MAX: usize = 1_024;

/// What is reported to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListChange {
    /// A commit has changed the list of a user.
    Changed {
        /// Whose list it is.
        user_id: UserId,
        /// Its new version.
        version: Version,
    },
    /// Changes before this may not have been reported: read the versions.
    Missed,
}

/// Reports changed lists.
#[derive(Debug)]
pub struct ListChanges {
    changes: Receiver<ListChange>,
    /// The listening task, if one is needed. Ends with the last that holds it.
    _listening: Option<Arc<JoinSet<()>>>,
}

impl ListChanges {
    /// Reports what `changes` does, which the tasks in `listening` may cause.
    pub fn new(changes: Receiver<ListChange>, listening: Option<Arc<JoinSet<()>>>) -> Self {
        Self { changes, _listening: listening }
    }

    /// The next change.
    ///
    /// Safe to cancel.
    pub async fn next(&mut self) -> ListChange {
        match self.changes.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => ListChange::Missed,
            // No sender is left: no change will come.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
