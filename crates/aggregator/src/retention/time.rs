//! Time of retention: the database's clock, which all processes share.
//!
//! A process whose own clock is wrong has also written wrong times; it must not decide what is old.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use database::{DatabaseClock, DbError};
use projection::Timestamp;

use crate::clock::{Clock, time_between};
use crate::health::{Component, Finding, Health};

/// How far the clock of this process may be from the database's.
pub const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(60);

/// Code of the finding about a clock that is too far off.
pub const DIFFERS: &str = "differs_from_database";
/// What the finding means.
pub const CLOCK_DIFFERENCE_MEANING: &str = "nothing old is removed by this process";

/// How far the clock of this machine is from the database's, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDifference {
    /// How far.
    pub by: Duration,
    is_ahead: bool,
    database_now: Timestamp,
}

impl ClockDifference {
    /// Reads both clocks. None: the database has no clock of its own.
    ///
    /// # Errors
    ///
    /// If the database does not answer.
    pub async fn read(
        database: &dyn DatabaseClock,
        clock: &dyn Clock,
    ) -> Result<Option<Self>, DbError> {
        let before = clock.now();
        let Some(database_now) = database.database_now().await? else { return Ok(None) };
        // The database read its clock between the two readings of ours.
        let is_ahead = database_now < before;
        let by = if is_ahead {
            time_between(database_now, before)
        } else {
            time_between(clock.now(), database_now)
        };
        Ok(Some(Self { by, is_ahead, database_now }))
    }
}

impl fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.is_ahead { "ahead of" } else { "behind" };
        write!(f, "the clock of this machine is {} s {side} the database's", self.by.as_secs())
    }
}

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
        let Some(difference) = ClockDifference::read(&*self.database, &*self.clock).await? else {
            // The file is of this machine, and so is its time.
            return Ok(Some(self.clock.now()));
        };
        if difference.by <= CLOCK_DIFFERENCE_MAX {
            self.clear();
            return Ok(Some(difference.database_now));
        }
        self.report(difference);
        Ok(None)
    }

    fn report(&self, difference: ClockDifference) {
        // By the database's clock: the other one is wrong.
        let since = difference.database_now;
        let detail = format!(
            "{difference}; {CLOCK_DIFFERENCE_MEANING} until they agree within {} s",
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
