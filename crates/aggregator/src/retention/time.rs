//! The time that retention goes by: the database's, which all processes share.
//!
//! A process whose own clock is wrong has also written wrong times; it must not be the one that
//! decides what is old.

use std::sync::Arc;
use std::time::Duration;

use database::{DatabaseClock, DbError};
use projection::Timestamp;

use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

/// How far the clock of this process may be from the database's.
pub const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(60);

/// The code of the finding about a clock that is too far off.
const DIFFERS: &str = "differs_from_database";

/// Tells the database's time, as long as this process agrees with it.
pub struct RetentionTime {
    /// The clock that all processes share.
    pub database: Arc<dyn DatabaseClock>,
    /// The clock of this process.
    pub clock: Arc<dyn Clock>,
    /// Told of a clock that is too far off.
    pub health: Health,
}

impl RetentionTime {
    /// The time now. None while this process and the database do not agree about it; that is
    /// reported once, and once when it is over.
    ///
    /// # Errors
    ///
    /// If the database cannot be asked.
    pub async fn now(&self) -> Result<Option<Timestamp>, DbError> {
        let before = self.clock.now();
        let Some(now) = self.database.database_now().await? else {
            // The file is of this machine, and so is its time.
            return Ok(Some(before));
        };
        // The answer is of some moment between the two readings of our clock.
        let off = if now < before {
            time_between(now, before)
        } else {
            time_between(self.clock.now(), now)
        };
        if off <= CLOCK_DIFFERENCE_MAX {
            self.agrees();
            return Ok(Some(now));
        }
        self.differs(off, if now < before { "ahead of" } else { "behind" }, before);
        Ok(None)
    }

    fn differs(&self, off: Duration, side: &str, since: Timestamp) {
        let detail = format!(
            "the clock of this machine is {} s {side} the database's; nothing old is removed by \
             this process until they agree within {} s",
            off.as_secs(),
            CLOCK_DIFFERENCE_MAX.as_secs(),
        );
        if self.health.report(Finding::new(Component::Clock, DIFFERS, detail.clone(), since)) {
            tracing::error!("{detail}");
        }
    }

    fn agrees(&self) {
        if self.health.clear(Component::Clock, DIFFERS) {
            tracing::info!("the clock of this machine agrees with the database's again");
        }
    }
}

/// Zero if `later` is not later.
fn time_between(earlier: Timestamp, later: Timestamp) -> Duration {
    let micros = later.unix_micros().saturating_sub(earlier.unix_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
