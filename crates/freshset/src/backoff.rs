//! Backoff: waits between attempts that double up to a longest one, with jitter.
//!
//! The jitter spreads the attempts of many processes that noticed an outage at the same moment.

use std::time::Duration;

use crate::random::Random;

/// The waits of one series of attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    next: Duration,
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// A series without a failure so far.
    pub(crate) fn between(min: Duration, max: Duration) -> Self {
        Self { next: min, min, max }
    }

    /// How long to wait after one more failure: between half of the current step and all of it.
    pub(crate) fn next_wait(&mut self, random: &dyn Random) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        step - step / 2 * draw(random) / u32::from(u16::MAX)
    }

    /// Starts the series again, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

/// A uniform number of 16 bits; 0 without randomness, which means the whole wait.
fn draw(random: &dyn Random) -> u32 {
    let mut bytes = [0; 2];
    random.fill(&mut bytes).map_or(0, |()| u32::from(u16::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;

    #[derive(Debug)]
    struct Always(u8);

    impl Random for Always {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), BoxError> {
            buffer.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn backoff_doubles_up_to_max_less_jitter_and_reset_starts_again() {
        let at = Duration::from_millis;
        let waits = |byte: u8| {
            let mut backoff = Backoff::between(at(50), at(300));
            let waits: Vec<_> = (0..4).map(|_| backoff.next_wait(&Always(byte))).collect();
            backoff.reset();
            (waits, backoff.next_wait(&Always(byte)))
        };
        assert_eq!(waits(0), (vec![at(50), at(100), at(200), at(300)], at(50)));
        assert_eq!(waits(0xff), (vec![at(25), at(50), at(100), at(150)], at(25)));
    }
}
