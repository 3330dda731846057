//! Detection of a consumer that knows no broker any more.
//!
//! librdkafka forgets each broker that the last answer about the cluster does not name. A broker that is fenced, as
//! after a pause, names none, not even itself; then nobody is left to be asked again, for ever
//! (<https://github.com/confluentinc/librdkafka/issues/5301>, from 2.10 on). The sign: the consumer has no answers
//! although the probe has, which makes a new client after each failure.

use std::time::Duration;

/// How long the consumer may be without an answer while the probe has answers: several questions, and longer than
/// a coordinator takes to load its group.
const UNANSWERED_MAX: Duration = Duration::from_secs(20);

/// Whether the consumer has answers, while the brokers answer the probe.
#[derive(Debug, Default)]
pub(super) struct LostBrokers {
    unanswered_since: Option<Duration>,
    /// It was replaced since the last answer.
    is_replaced: bool,
}

impl LostBrokers {
    /// Notes whether a question of the consumer was answered, and logs when that begins and ends to matter. True: the
    /// consumer must be replaced, and the new one has its time.
    pub(super) fn must_replace(
        &mut self,
        is_answered: bool,
        brokers_answer: bool,
        now: Duration,
    ) -> bool {
        if is_answered && self.is_replaced {
            tracing::info!("the new kafka consumer has answers");
            self.is_replaced = false;
        }
        if is_answered || !brokers_answer {
            self.unanswered_since = None;
            return false;
        }
        let since = *self.unanswered_since.get_or_insert(now);
        if now.saturating_sub(since) < UNANSWERED_MAX {
            return false;
        }
        self.unanswered_since = None;
        if self.is_replaced {
            tracing::debug!("the kafka consumer still has no answers, replacing it again");
        } else {
            tracing::warn!(
                "the kafka consumer has no answers although the brokers answer, replacing it"
            );
        }
        self.is_replaced = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumer_is_replaced_if_only_the_probe_has_answers_for_long() {
        let mut lost = LostBrokers::default();
        let second = Duration::from_secs;
        assert!(!lost.must_replace(false, true, second(0)));
        assert!(!lost.must_replace(false, true, second(19)));
        assert!(!lost.must_replace(true, true, second(20)), "an answer");
        assert!(!lost.must_replace(false, true, second(21)));
        assert!(!lost.must_replace(false, false, second(40)), "an outage");
        assert!(!lost.must_replace(false, true, second(42)));
        assert!(lost.must_replace(false, true, second(62)));
        assert!(!lost.must_replace(false, true, second(63)), "the new one has its time");
    }
}
