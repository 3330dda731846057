//! The stored form of an entry, in bytes.
//!
//! ```text
//! offset  size  what
//!      0    48  generation of the home owner under which the entry was loaded
//!     48     2  magic "FS"
//!     50     1  format version of this layout
//!     51     8  checksum of everything that follows: XXH3 of 64 bits, big endian
//!     59     2  schema version of the payload, the caller's, big endian
//!     61     1  1 if there is a payload, 0 if there is nothing under this name
//!     62     1  number of further owners
//!     63     2  length of the name, big endian
//!     65     4  length of the payload, big endian
//!     69     n  name: home owner, a space, entry key
//!                for each further owner: 48 bytes of its generation, 2 of its length, its name
//!                payload
//! ```
//!
//! The first generation has a fixed place, and the entry repeats its name, so that an entry under a wrong
//! key, or one written by other code, is not mistaken for an answer. Length and checksum detect an entry
//! that was cut short, lengthened or altered. Bytes that do not decode are a miss.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use crate::generation::{GENERATION_BYTES, Generation};
use crate::key::{ENTRY_KEY_BYTES_MAX, EntryKey, OWNER_BYTES_MAX, Owner};
use crate::owners::OWNERS_MAX;
use crate::stamp::{Stamp, Stamped};

const MAGIC: &[u8; 2] = b"FS";
const FORMAT_VERSION: u8 = 3;
const CHECKSUM_BYTES: usize = 8;
/// Offset of the first byte that the checksum covers.
const CHECKED_FROM: usize = GENERATION_BYTES + 2 + 1 + CHECKSUM_BYTES;
const HEADER_BYTES: usize = CHECKED_FROM + 2 + 1 + 1 + 2 + 4;

// Lengths and counts fit their fields.
const _: () = assert!(OWNER_BYTES_MAX + 1 + ENTRY_KEY_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(OWNERS_MAX - 1 <= u8::MAX as usize);

/// What an entry says: a payload, or that there is nothing under its name.
pub(crate) type Content = Option<Bytes>;

/// A stored entry, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) stamp: Stamp,
    pub(crate) content: Content,
}

/// The generation of the home owner at the head of a stored entry; none if the entry is too short.
pub fn home_generation(stored: &[u8]) -> Option<Generation> {
    stored.get(..GENERATION_BYTES).and_then(Generation::from_bytes)
}

/// Puts an entry into its stored form. The stamp begins with the home owner.
pub(crate) fn encode(
    stamp: &[Stamped],
    schema_version: u16,
    key: &EntryKey,
    content: Option<&[u8]>,
) -> Bytes {
    let Some((home, others)) = stamp.split_first() else { return Bytes::new() };
    let payload = content.unwrap_or_default();
    let name_bytes = home.owner.as_str().len() + 1 + key.as_str().len();
    let others_bytes: usize =
        others.iter().map(|other| GENERATION_BYTES + 2 + other.owner.as_str().len()).sum();
    let mut stored =
        BytesMut::with_capacity(HEADER_BYTES + name_bytes + others_bytes + payload.len());
    stored.put_slice(home.generation.as_bytes());
    stored.put_slice(MAGIC);
    stored.put_u8(FORMAT_VERSION);
    stored.put_u64(0);
    stored.put_u16(schema_version);
    stored.put_u8(u8::from(content.is_some()));
    // The limits of owners and names are compared with these fields above; `ENTRY_BYTES_MAX` keeps a
    // payload below 4 GiB.
    stored.put_u8(others.len() as u8);
    stored.put_u16(name_bytes as u16);
    stored.put_u32(payload.len() as u32);
    stored.put_slice(home.owner.as_str().as_bytes());
    stored.put_u8(b' ');
    stored.put_slice(key.as_str().as_bytes());
    for other in others {
        stored.put_slice(other.generation.as_bytes());
        stored.put_u16(other.owner.as_str().len() as u16);
        stored.put_slice(other.owner.as_str().as_bytes());
    }
    stored.put_slice(payload);
    let checksum = xxh3_64(&stored[CHECKED_FROM..]);
    stored[CHECKED_FROM - CHECKSUM_BYTES..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    stored.freeze()
}

/// Decodes a stored entry, if it is a whole entry of this name in this format. Copies no payload.
pub(crate) fn decode(
    stored: &Bytes,
    schema_version: u16,
    home: &Owner,
    key: &EntryKey,
) -> Option<Decoded> {
    let (checksum, checked) = stored[..].split_at_checked(CHECKED_FROM)?;
    let (_, checksum) = checksum.split_last_chunk()?;
    let is_intact = xxh3_64(checked) == u64::from_be_bytes(*checksum);
    is_intact.then(|| decode_intact(stored, schema_version, home, key)).flatten()
}

/// As [`decode`], for bytes that nobody else can have altered: the checksum is not verified.
pub(crate) fn decode_intact(
    stored: &Bytes,
    schema_version: u16,
    home: &Owner,
    key: &EntryKey,
) -> Option<Decoded> {
    let (generation, rest) = stored.split_first_chunk::<GENERATION_BYTES>()?;
    let rest = rest.strip_prefix(MAGIC)?;
    let rest = rest.strip_prefix(&[FORMAT_VERSION])?;
    let (_, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let rest = rest.strip_prefix(&schema_version.to_be_bytes())?;
    let ([has_payload, others], rest) = rest.split_first_chunk()?;
    let (name_bytes, rest) = rest.split_first_chunk()?;
    let (payload_bytes, rest) = rest.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(u16::from_be_bytes(*name_bytes).into())?;
    let name = name.strip_prefix(home.as_str().as_bytes())?;
    if name.strip_prefix(b" ")? != key.as_str().as_bytes() {
        return None;
    }
    let mut stamp = Stamp::with_capacity(1 + usize::from(*others));
    stamp.push(Stamped { owner: home.clone(), generation: Generation::from_bytes(generation)? });
    let mut rest = rest;
    for _ in 0..*others {
        let (stamped, after) = decode_stamped(rest)?;
        stamp.push(stamped);
        rest = after;
    }
    let is_whole = u64::from(u32::from_be_bytes(*payload_bytes)) == rest.len() as u64;
    let payload = || stored.slice(stored.len() - rest.len()..);
    is_whole.then(|| Decoded { stamp, content: (*has_payload == 1).then(payload) })
}

fn decode_stamped(bytes: &[u8]) -> Option<(Stamped, &[u8])> {
    let (generation, rest) = bytes.split_first_chunk::<GENERATION_BYTES>()?;
    let (owner_bytes, rest) = rest.split_first_chunk()?;
    let (owner, rest) = rest.split_at_checked(u16::from_be_bytes(*owner_bytes).into())?;
    let owner = Owner::from_stored(std::str::from_utf8(owner).ok()?);
    Some((Stamped { owner, generation: Generation::from_bytes(generation)? }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::RandomHex;
    use crate::key::{ENTRY_KEY_CHARS_MAX, OWNER_ID_CHARS_MAX};

    fn key() -> EntryKey {
        EntryKey::new(["list", "20"]).unwrap()
    }

    fn stamp(owners: &[&str]) -> Stamp {
        let stamped = |(serial, id): (u64, &&str)| Stamped {
            owner: Owner::new("user", id).unwrap(),
            generation: Generation::new(&RandomHex::from_bits(7), serial),
        };
        (0..).zip(owners).map(stamped).collect()
    }

    #[test]
    fn encoded_entry_decodes_with_its_stamp() {
        for owners in [&["u"][..], &["u", "v", "w:x"]] {
            let stamp = stamp(owners);
            for content in [Some(&b"body"[..]), Some(b""), None] {
                let stored = encode(&stamp, 3, &key(), content);
                let decoded = decode(&stored, 3, &stamp[0].owner, &key()).unwrap();
                assert_eq!(decoded.stamp, stamp);
                assert_eq!(decoded.content.as_deref(), content);
                assert_eq!(home_generation(&stored), Some(stamp[0].generation));
            }
        }
    }

    #[test]
    fn entry_with_the_longest_names_decodes_with_its_stamp() {
        let longest = "\u{10ffff}".repeat(OWNER_ID_CHARS_MAX - 2);
        let ids: Vec<String> = (10..10 + OWNERS_MAX).map(|id| format!("{id}{longest}")).collect();
        let stamp = stamp(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        let key = EntryKey::of("\u{10ffff}".repeat(ENTRY_KEY_CHARS_MAX)).unwrap();
        let stored = encode(&stamp, 3, &key, Some(b"body"));
        let decoded = decode(&stored, 3, &stamp[0].owner, &key).unwrap();
        assert_eq!(decoded.stamp, stamp);
        assert_eq!(decoded.content.as_deref(), Some(&b"body"[..]));
    }

    #[test]
    fn entry_of_another_name_schema_or_format_is_a_miss() {
        let stamp = stamp(&["u"]);
        let owner = &stamp[0].owner;
        let stored = encode(&stamp, 3, &key(), Some(b"body"));
        let other_owner = Owner::new("user", "v").unwrap();
        let longer_key = EntryKey::new(["list", "20", "0"]).unwrap();
        assert_eq!(decode(&stored, 4, owner, &key()), None, "schema");
        assert_eq!(decode(&stored, 3, &other_owner, &key()), None, "owner");
        assert_eq!(decode(&stored, 3, owner, &longer_key), None, "key");
        let mut format = stored.to_vec();
        format[50] = 2;
        assert_eq!(decode(&format.into(), 3, owner, &key()), None, "format");
    }

    #[test]
    fn every_truncated_entry_is_a_miss() {
        let stamp = stamp(&["u", "v"]);
        for payload in [b"".as_slice(), b"some body"] {
            let stored = encode(&stamp, 3, &key(), Some(payload));
            for length in 0..stored.len() {
                let cut = stored.slice(..length);
                assert_eq!(decode(&cut, 3, &stamp[0].owner, &key()), None, "{length} bytes");
            }
        }
    }

    #[test]
    fn entry_with_a_flipped_bit_or_an_appended_byte_is_a_miss() {
        let stamp = stamp(&["u", "v"]);
        let owner = &stamp[0].owner;
        let stored = encode(&stamp, 3, &key(), Some(b"some body")).to_vec();
        for bit in GENERATION_BYTES * 8..stored.len() * 8 {
            let mut altered = stored.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&altered.into(), 3, owner, &key()), None, "bit {bit}");
        }
        let longer = [&stored[..], &[0]].concat();
        assert_eq!(decode(&longer.into(), 3, owner, &key()), None);
    }
}
