//! A hash slot of a Cluster, and which one a key belongs to.

use std::fmt;

/// Hash slots of a Cluster.
pub(super) const SLOTS: u16 = 16_384;
/// The polynomial of CRC16/XMODEM.
const POLYNOMIAL: u16 = 0x1021;

/// A hash slot: what a Cluster moves from one primary to another as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a key: that of its hash tag, if it has one.
    pub fn of(key: impl AsRef<[u8]>) -> Self {
        Self(crc16(hash_tag(key.as_ref())) % SLOTS)
    }

    /// Its number, below 16,384.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What stands between the first `{` and the next `}`, unless that is nothing; else the whole key.
fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let after = &key[open + 1..];
        after.iter().position(|byte| *byte == b'}').map(|close| &after[..close])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ POLYNOMIAL }
        })
    })
}
