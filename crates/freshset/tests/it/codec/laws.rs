//! Laws of every codec, with random values and random bytes.

use bytes::Bytes;
use freshset::codec::Codec;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use testkit::seed;

use crate::codec::values::{Sample, bytes};

/// Values and byte strings of each law.
const ROUNDS: usize = 5_000;
/// Longest random byte string.
const RANDOM_BYTES_MAX: usize = 300;
/// Most changes to what a codec wrote.
const CHANGES_MAX: usize = 4;

/// One test for each law.
macro_rules! laws {
    ($module:ident, $codec:expr) => {
        mod $module {
            #[test]
            fn encoded_value_comes_back() {
                super::encoded_value_comes_back(&$codec);
            }

            #[test]
            fn cut_or_lengthened_bytes_are_an_error() {
                super::cut_or_lengthened_bytes_are_an_error(&$codec);
            }

            #[test]
            fn random_bytes_do_not_panic() {
                super::random_bytes_do_not_panic(&$codec);
            }

            #[test]
            fn changed_bytes_do_not_panic() {
                super::changed_bytes_do_not_panic(&$codec);
            }
        }
    };
}

laws!(json, freshset::codec::Json);
laws!(message_pack, freshset::codec::MessagePack);
laws!(postcard, freshset::codec::Postcard);
#[cfg(all(feature = "json", feature = "zstd"))]
laws!(json_in_zstd, freshset::codec::Zstd::new(freshset::codec::Json).min_bytes(0));
#[cfg(all(feature = "postcard", feature = "zstd"))]
laws!(postcard_in_zstd, freshset::codec::Zstd::new(freshset::codec::Postcard).min_bytes(40));

#[cfg(all(feature = "json", feature = "message-pack", feature = "postcard"))]
#[test]
fn postcard_is_smaller_than_message_pack_and_that_than_json() {
    use freshset::codec::{Json, MessagePack, Postcard};

    let mut random = StdRng::seed_from_u64(seed());
    let values: Vec<Sample> = (0..ROUNDS).map(|_| Sample::random(&mut random)).collect();
    let json = Json.encode(&values).unwrap().len();
    let message_pack = MessagePack.encode(&values).unwrap().len();
    let postcard = Postcard.encode(&values).unwrap().len();
    assert!(postcard < message_pack && message_pack < json, "{postcard}, {message_pack}, {json}");
}

fn encoded_value_comes_back(codec: &impl Codec<Sample>) {
    let mut random = StdRng::seed_from_u64(seed());
    for _ in 0..ROUNDS {
        let value = Sample::random(&mut random);
        let encoded = codec.encode(&value).unwrap();
        assert_eq!(codec.decode(&encoded).unwrap(), value);
    }
}

fn cut_or_lengthened_bytes_are_an_error(codec: &impl Codec<Sample>) {
    let mut random = StdRng::seed_from_u64(seed());
    for _ in 0..ROUNDS {
        let encoded = codec.encode(&Sample::random(&mut random)).unwrap();
        let cut = encoded.slice(..random.random_range(0..encoded.len()));
        assert!(codec.decode(&cut).is_err(), "{} of {encoded:?}", cut.len());
        let byte: u8 = random.random();
        // White space may follow JSON.
        if !byte.is_ascii_whitespace() {
            let longer = Bytes::from([&encoded[..], &[byte]].concat());
            assert!(codec.decode(&longer).is_err(), "{longer:?}");
        }
    }
}

fn random_bytes_do_not_panic(codec: &impl Codec<Sample>) {
    let mut random = StdRng::seed_from_u64(seed());
    for _ in 0..ROUNDS {
        let encoded = Bytes::from(bytes(&mut random, RANDOM_BYTES_MAX));
        // A value or an error: both are right.
        let _ = codec.decode(&encoded);
    }
}

fn changed_bytes_do_not_panic(codec: &impl Codec<Sample>) {
    let mut random = StdRng::seed_from_u64(seed());
    for _ in 0..ROUNDS {
        let mut encoded = codec.encode(&Sample::random(&mut random)).unwrap().to_vec();
        for _ in 0..random.random_range(1..=CHANGES_MAX) {
            change(&mut encoded, &mut random);
        }
        // A value or an error: both are right.
        let _ = codec.decode(&Bytes::from(encoded));
    }
}

fn change(bytes: &mut Vec<u8>, random: &mut StdRng) {
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..5) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        // The highest lengths and the markers of most formats.
        2 => bytes[at] = random.random_range(0xc0..=0xff),
        3 => bytes.insert(at, random.random()),
        _ => {
            let tail = bytes.split_off(at);
            bytes.extend_from_within(at / 2..);
            bytes.extend(tail);
        }
    }
}
