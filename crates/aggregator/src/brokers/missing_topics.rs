//! Topics to read that do not exist: a finding until they do.

use std::sync::Arc;

use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

/// Code of the finding.
pub(crate) const CODE: &str = "missing_topics";
/// What to do about it.
pub(crate) const FIX: &str =
    "Create them (docs/events.md), or check that kafka_brokers are those of the platform";

/// The topics that were missing at the last probe.
pub(super) struct MissingTopics {
    clock: Arc<dyn Clock>,
    health: Health,
    before: Vec<&'static str>,
}

impl MissingTopics {
    pub(super) fn new(clock: Arc<dyn Clock>, health: Health) -> Self {
        Self { clock, health, before: Vec::new() }
    }

    /// Notes those of a probe. One that was there at the probe before may be created anew just now.
    pub(super) fn note(&mut self, missing: Vec<&'static str>) {
        let before = std::mem::replace(&mut self.before, missing);
        let missing: Vec<_> =
            self.before.iter().filter(|topic| before.contains(topic)).copied().collect();
        if missing.is_empty() {
            if self.health.clear(Component::Consumer, CODE) {
                tracing::info!("all topics to read exist");
            }
            return;
        }
        let detail = format!(
            "these topics do not exist, and their events are not read until they do: {}. {FIX}",
            missing.join(", ")
        );
        let now = self.clock.now();
        if self.health.report(Finding::new(Component::Consumer, CODE, detail.clone(), now)) {
            tracing::warn!("{detail}");
        }
    }
}

#[cfg(test)]
mod tests {
    use projection::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn topic_is_reported_if_two_probes_in_a_row_miss_it() {
        let clock = ManualClock::new(Timestamp::parse("2026-11-22T10:00:00Z").unwrap());
        let health = Health::default();
        let mut topics = MissingTopics::new(Arc::new(clock), health.clone());
        let mut found = |missing: &[&'static str]| {
            topics.note(missing.to_vec());
            let found = health.findings();
            found.first().map(|finding| finding.detail().to_owned()).unwrap_or_default()
        };
        assert_eq!(found(&["a"]), "");
        assert_eq!(found(&["b"]), "", "it was created meanwhile");
        let detail = found(&["a", "b"]);
        assert!(detail.contains("until they do: b. Create them"), "{detail}");
        assert!(found(&["a", "b"]).contains("until they do: a, b. "));
        assert_eq!(found(&[]), "");
    }
}
