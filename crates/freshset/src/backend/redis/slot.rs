//! Hash slots of a Redis Cluster.

/// Number of slots.
const SLOTS: u16 = 16_384;
/// The polynomial of CRC16/XMODEM.
const POLYNOMIAL: u16 = 0x1021;

/// The slot of a key: that of its hash tag, if it has one.
pub(super) fn of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ POLYNOMIAL }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_of_a_key_is_that_of_its_hash_tag() {
        // As the specification of Redis Cluster gives it.
        assert_eq!(of("123456789"), 0x31C3);
        assert_eq!(of("ras:g:{123456789}"), 0x31C3);
        assert_eq!(of("{}123456789"), of("{}123456789"));
        assert_ne!(of("{}a"), of(""));
    }
}
