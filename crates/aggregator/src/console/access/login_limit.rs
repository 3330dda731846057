//! Limit of wrong tokens, for all clients of this process together: a token cannot be found by trying.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong tokens in one [`WINDOW`].
pub(super) const WRONG_TOKENS_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct LoginLimit {
    window: Mutex<Option<Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Duration,
    wrong: u32,
}

impl LoginLimit {
    /// Whether another login may be tried; if not, when.
    pub(super) fn check(&self, now: Duration) -> Result<(), Duration> {
        let window = *self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match window {
            Some(Window { began, wrong }) if wrong >= WRONG_TOKENS_MAX && now < began + WINDOW => {
                Err(began + WINDOW - now)
            }
            _ => Ok(()),
        }
    }

    /// Notes a wrong token.
    pub(super) fn failed(&self, now: Duration) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        *window = Some(match *window {
            Some(Window { began, wrong }) if now < began + WINDOW => {
                Window { began, wrong: wrong + 1 }
            }
            _ => Window { began: now, wrong: 1 },
        });
    }
}
