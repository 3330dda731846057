//! Compression: what is compressed, and what is refused.

use std::io::Write as _;

use bytes::Bytes;
use freshset::codec::{
    Codec, CodecError, DECOMPRESSED_BYTES_MAX, Raw, ZSTD_LEVEL_MAX, ZSTD_LEVEL_MIN, Zstd,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use testkit::seed;
use zstd::bulk;
use zstd::stream;

const CODEC: Zstd<Raw> = Zstd::new(Raw);
/// First bytes of what the codec writes.
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

fn with_marker(marker: u8, frame: &[u8]) -> Bytes {
    [&[marker], frame].concat().into()
}

fn zeros(bytes: usize) -> Bytes {
    vec![0; bytes].into()
}

#[test]
fn bytes_of_any_length_and_entropy_come_back() {
    let mut random = StdRng::seed_from_u64(seed());
    for _ in 0..2_000 {
        let codec = CODEC
            .level(random.random_range(ZSTD_LEVEL_MIN..=9))
            .min_bytes(random.random_range(0..2_000));
        let different = random.random_range(1..=256_u16);
        let value: Bytes = (0..random.random_range(0..5_000))
            .map(|_| random.random_range(0..different) as u8)
            .collect();
        let encoded = codec.encode(&value).unwrap();
        assert!(encoded.len() <= 1 + value.len(), "{} for {}", encoded.len(), value.len());
        // Settings are not part of the form.
        assert_eq!(CODEC.decode(&encoded).unwrap(), value);
    }
}

#[test]
fn short_bytes_are_kept_plain_and_decode_without_a_copy() {
    let encoded = CODEC.encode(&zeros(1023)).unwrap();
    assert_eq!(encoded, with_marker(PLAIN, &[0; 1023]));
    assert_eq!(CODEC.decode(&encoded).unwrap().as_ptr(), encoded[1..].as_ptr());
    let encoded = CODEC.encode(&zeros(1024)).unwrap();
    assert_eq!(encoded[0], COMPRESSED);
    assert!(encoded.len() < 50);
}

#[test]
fn incompressible_bytes_are_kept_plain() {
    let mut random = StdRng::seed_from_u64(seed());
    let value: Bytes = (0..100_000).map(|_| random.random::<u8>()).collect();
    assert_eq!(CODEC.encode(&value).unwrap(), with_marker(PLAIN, &value));
}

#[test]
fn level_out_of_range_is_brought_into_it() {
    assert_eq!(CODEC.level(i32::MIN), CODEC.level(ZSTD_LEVEL_MIN));
    assert_eq!(CODEC.level(i32::MAX), CODEC.level(ZSTD_LEVEL_MAX));
}

#[test]
fn value_above_the_limit_is_neither_encoded_nor_decoded() {
    let largest = zeros(DECOMPRESSED_BYTES_MAX);
    let encoded = CODEC.encode(&largest).unwrap();
    assert!(CODEC.decode(&encoded).unwrap() == largest);

    let too_large = zeros(DECOMPRESSED_BYTES_MAX + 1);
    assert!(matches!(CODEC.encode(&too_large), Err(CodecError::TooLarge { .. })));
    let bomb = with_marker(COMPRESSED, &bulk::compress(&too_large, 3).unwrap());
    let Err(CodecError::TooLarge { bytes, bytes_max }) = CODEC.decode(&bomb) else {
        panic!("decoded {} bytes to more than the limit", bomb.len());
    };
    assert_eq!((bytes, bytes_max), (DECOMPRESSED_BYTES_MAX + 1, DECOMPRESSED_BYTES_MAX));
}

#[test]
fn frames_that_are_too_large_together_are_refused() {
    let frame = bulk::compress(&zeros(DECOMPRESSED_BYTES_MAX / 4), 3).unwrap();
    let bomb = with_marker(COMPRESSED, &frame.repeat(5));
    assert!(matches!(CODEC.decode(&bomb), Err(CodecError::TooLarge { .. })));
}

#[test]
fn frame_without_a_size_is_refused() {
    let mut encoder = stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(&[0; 5_000]).unwrap();
    // Its head is written before the end is known.
    encoder.flush().unwrap();
    let frame = encoder.finish().unwrap();
    assert_eq!(stream::decode_all(&frame[..]).unwrap(), [0; 5_000]);
    let answer = CODEC.decode(&with_marker(COMPRESSED, &frame));
    assert!(matches!(answer, Err(CodecError::Decode { .. })));
}

#[test]
fn unknown_first_byte_or_none_is_refused() {
    assert!(CODEC.decode(&Bytes::new()).is_err());
    let frame = bulk::compress(&[0; 5_000], 3).unwrap();
    for marker in 2..=u8::MAX {
        assert!(CODEC.decode(&with_marker(marker, &frame)).is_err(), "{marker}");
    }
}

#[test]
fn changed_frames_do_not_panic() {
    let mut random = StdRng::seed_from_u64(seed());
    let value = Bytes::from("some words, and the same again; ".repeat(60));
    let encoded = CODEC.encode(&value).unwrap();
    for _ in 0..20_000 {
        let mut changed = encoded.to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(1..changed.len());
            changed[at] = random.random();
        }
        changed.truncate(random.random_range(1..=2 * changed.len()));
        // Bytes or an error: both are right.
        if let Ok(decoded) = CODEC.decode(&changed.into()) {
            assert!(decoded.len() <= DECOMPRESSED_BYTES_MAX);
        }
    }
}
