//! What the inbox remembers of an event: that it was applied, and where Kafka may deliver it from
//! again.

use std::collections::BTreeMap;

use results::{EventId, EventKind, Timestamp};
use serde::{Deserialize, Serialize};

/// Where one delivery of an event was, in the topic of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Where an event was delivered from: the largest offset of each partition that had it.
///
/// Empty for an event that came another way. Senders repeat themselves, so one event may be in a log
/// more than once, and after a change of its partitions in more than one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Places(BTreeMap<i32, i64>);

impl Places {
    /// Adds one more. Whether it says anything new.
    pub fn add(&mut self, place: Place) -> bool {
        let Place { partition, offset } = place;
        let is_new = self.0.get(&partition).is_none_or(|known| *known < offset);
        if is_new {
            self.0.insert(partition, offset);
        }
        is_new
    }
}

impl From<Option<Place>> for Places {
    fn from(place: Option<Place>) -> Self {
        Self(place.into_iter().map(|Place { partition, offset }| (partition, offset)).collect())
    }
}

/// An event that a unit applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEvent {
    /// Its id.
    pub id: EventId,
    /// Its kind.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// Where it was delivered from.
    pub places: Places,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_offset_of_each_partition_is_kept() {
        let mut places = Places::from(Some(Place { partition: 3, offset: 5 }));
        assert!(!places.add(Place { partition: 3, offset: 5 }));
        assert!(!places.add(Place { partition: 3, offset: 4 }));
        assert!(places.add(Place { partition: 3, offset: 6 }));
        assert!(places.add(Place { partition: 0, offset: 1 }));
        assert_eq!(serde_json::to_string(&places).unwrap(), r#"{"0":1,"3":6}"#);
        assert_eq!(serde_json::to_string(&Places::from(None)).unwrap(), "{}");
    }
}
