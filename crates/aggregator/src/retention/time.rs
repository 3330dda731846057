//! Time of retention: the database's clock, which all processes share.
//!
//! A process whose own clock is wrong has also written wrong times; it must not decide what is old.

use std::sync::Arc;
use std::time::Duration;

use database::{DatabaseClock, DbError};
use projection::Timestamp;

use crate::clock::{Clock, time_between};
use crate::health::{Component, Finding, Health};

/// How far the clock of this process may be from the database's.
pub const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(60);

/// Code of the finding about a clock that is too far off.
const DIFFERS: &str = "differs_from_database";

/// Reads the database's clock, and compares this process's with it.
pub struct RetentionTime {
    /// The clock that all processes share.
    pub database: Arc<dyn DatabaseClock>,
    /// The clock of this process.
    pub clock: Arc<dyn Clock>,
    /// Where a clock that is too far off is reported.
    pub health: Health,
}

impl RetentionTime {
    /// The time now. `None` while the clocks of process and database differ too much; that is logged when
    /// it begins and when it ends.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn now(&self) -> Result<Option<Timestamp>, DbError> {
        let before = self.clock.now();
        let Some(now) = self.database.database_now().await? else {
            // The file is of this machine, and so is its time.
            return Ok(Some(before));
        };
        // The database read its clock between the two readings of ours.
        let off = if now < before {
            time_between(now, before)
        } else {
            time_between(self.clock.now(), now)
        };
        if off <= CLOCK_DIFFERENCE_MAX {
            self.clear();
            return Ok(Some(now));
        }
        // By the database's clock: the other one is wrong.
        self.report(off, if now < before { "ahead of" } else { "behind" }, now);
        Ok(None)
    }

    fn report(&self, off: Duration, side: &str, since: Timestamp) {
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

    fn clear(&self) {
        if self.health.clear(Component::Clock, DIFFERS) {
            tracing::info!("the clock of this machine agrees with the database's again");
        }
    }
}
