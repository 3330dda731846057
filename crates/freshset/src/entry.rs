//! The stored form of an entry, in bytes.
//!
//! ```text
//! offset  size  what
//!      0    48  stamp: the generation under which the entry was loaded
//!     48     2  magic "FS"
//!     50     1  format version of this layout
//!     51     8  checksum of everything that follows: XXH3 of 64 bits, big endian
//!     59     2  schema version of the payload, the caller's, big endian
//!     61     2  length of the name, big endian
//!     63     4  length of the payload, big endian
//!     67     n  name: owner, a space, entry key
//!   67+n        payload
//! ```
//!
//! The stamp has a fixed length, and the entry repeats its name, so that an entry under a wrong key, or
//! one written by other code, is not mistaken for an answer. Length and checksum detect an entry that
//! was cut short, lengthened or altered. Bytes that do not decode are a miss.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use crate::generation::{GENERATION_BYTES, Generation};
use crate::key::{EntryKey, Owner};

const MAGIC: &[u8; 2] = b"FS";
const FORMAT_VERSION: u8 = 2;
/// Offset of the first byte that the checksum covers.
const CHECKED_FROM: usize = GENERATION_BYTES + 2 + 1 + 8;
const HEADER_BYTES: usize = CHECKED_FROM + 2 + 2 + 4;

/// The stamp at the head of a stored entry; none if the entry is too short.
pub fn stamp(stored: &[u8]) -> Option<Generation> {
    stored.get(..GENERATION_BYTES).and_then(Generation::from_bytes)
}

/// Puts an entry into its stored form.
pub(crate) fn encode(
    generation: &Generation,
    schema_version: u16,
    owner: &Owner,
    key: &EntryKey,
    payload: &[u8],
) -> Bytes {
    let name_bytes = owner.as_str().len() + 1 + key.as_str().len();
    let mut stored = BytesMut::with_capacity(HEADER_BYTES + name_bytes + payload.len());
    stored.put_slice(generation.as_bytes());
    stored.put_slice(MAGIC);
    stored.put_u8(FORMAT_VERSION);
    stored.put_u64(0);
    stored.put_u16(schema_version);
    // The limits in `key.rs` keep a name below 4 KiB, and `ENTRY_BYTES_MAX` keeps a payload below 4 GiB.
    stored.put_u16(name_bytes as u16);
    stored.put_u32(payload.len() as u32);
    stored.put_slice(owner.as_str().as_bytes());
    stored.put_u8(b' ');
    stored.put_slice(key.as_str().as_bytes());
    stored.put_slice(payload);
    let checksum = xxh3_64(&stored[CHECKED_FROM..]);
    stored[CHECKED_FROM - 8..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    stored.freeze()
}

/// The payload of a stored entry, if it is a whole entry of this name in this format. Copies nothing.
pub(crate) fn decode(
    stored: &Bytes,
    schema_version: u16,
    owner: &Owner,
    key: &EntryKey,
) -> Option<Bytes> {
    let rest = stored.get(GENERATION_BYTES..)?;
    let rest = rest.strip_prefix(MAGIC)?;
    let rest = rest.strip_prefix(&[FORMAT_VERSION])?;
    let (checksum, checked) = rest.split_first_chunk()?;
    let rest = checked.strip_prefix(&schema_version.to_be_bytes())?;
    let (name_bytes, rest) = rest.split_first_chunk()?;
    let (payload_bytes, rest) = rest.split_first_chunk()?;
    let name_bytes = usize::from(u16::from_be_bytes(*name_bytes));
    let (name, payload) = rest.split_at_checked(name_bytes)?;
    let name = name.strip_prefix(owner.as_str().as_bytes())?;
    let name = name.strip_prefix(b" ")?;
    let is_whole = name == key.as_str().as_bytes()
        && u64::from(u32::from_be_bytes(*payload_bytes)) == payload.len() as u64
        && xxh3_64(checked) == u64::from_be_bytes(*checksum);
    is_whole.then(|| stored.slice(HEADER_BYTES + name_bytes..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::RandomHex;

    fn names() -> (Owner, EntryKey) {
        (Owner::new("user", "u").unwrap(), EntryKey::new(["list", "20"]).unwrap())
    }

    fn generation() -> Generation {
        Generation::new(&RandomHex::from_bits(7), 1)
    }

    #[test]
    fn encoded_entry_decodes_and_has_its_stamp() {
        let (owner, key) = names();
        let stored = encode(&generation(), 3, &owner, &key, b"body");
        assert_eq!(decode(&stored, 3, &owner, &key).as_deref(), Some(&b"body"[..]));
        assert_eq!(stamp(&stored), Some(generation()));
    }

    #[test]
    fn entry_of_another_name_schema_or_format_is_a_miss() {
        let (owner, key) = names();
        let stored = encode(&generation(), 3, &owner, &key, b"body");
        let other_owner = Owner::new("user", "v").unwrap();
        let longer_key = EntryKey::new(["list", "20", "0"]).unwrap();
        assert_eq!(decode(&stored, 4, &owner, &key), None, "schema");
        assert_eq!(decode(&stored, 3, &other_owner, &key), None, "owner");
        assert_eq!(decode(&stored, 3, &owner, &longer_key), None, "key");
        let mut format = stored.to_vec();
        format[50] = 1;
        assert_eq!(decode(&format.into(), 3, &owner, &key), None, "format");
    }

    #[test]
    fn every_truncated_entry_is_a_miss() {
        let (owner, key) = names();
        for payload in [b"".as_slice(), b"some body"] {
            let stored = encode(&generation(), 3, &owner, &key, payload);
            for length in 0..stored.len() {
                let cut = stored.slice(..length);
                assert_eq!(decode(&cut, 3, &owner, &key), None, "{length} bytes");
            }
        }
    }

    #[test]
    fn entry_with_a_flipped_bit_or_an_appended_byte_is_a_miss() {
        let (owner, key) = names();
        let stored = encode(&generation(), 3, &owner, &key, b"some body").to_vec();
        for bit in GENERATION_BYTES * 8..stored.len() * 8 {
            let mut altered = stored.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&altered.into(), 3, &owner, &key), None, "bit {bit}");
        }
        let longer = [&stored[..], &[0]].concat();
        assert_eq!(decode(&longer.into(), 3, &owner, &key), None);
    }
}
