//! Deep nesting: an error at the limit, long before the stack ends.

use std::collections::BTreeMap;
use std::error::Error;

use bytes::Bytes;
use freshset::codec::{Codec, CodecError};
use serde::{Deserialize, Serialize};

/// Levels that would end every stack.
const LEVELS: usize = 1 << 18;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Chain {
    End,
    Newtype(Box<Chain>),
    Struct { next: Box<Chain> },
    Tuple(Box<Chain>, u8),
}

// Each of these nests through one kind of part alone.

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Sequence(Vec<Sequence>);

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Map(BTreeMap<String, Map>);

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Optional(Option<Box<Optional>>);

#[derive(Debug, Serialize, Deserialize)]
struct Newtype(Box<Newtype>);

/// A chain of so many enums.
fn chain(levels: usize) -> Chain {
    (1..levels).fold(Chain::End, |chain, _| Chain::Newtype(Box::new(chain)))
}

/// `because` shows that it is the depth, and not the end of the bytes, that is refused.
#[track_caller]
fn is_too_deep<T>(codec: &impl Codec<T>, level: &[u8], because: &str) {
    let nested = Bytes::from(level.repeat(LEVELS));
    let Err(error @ CodecError::Decode { .. }) = codec.decode(&nested) else {
        panic!("decoded {LEVELS} of {level:?}");
    };
    let source = error.source().unwrap().to_string();
    assert!(source.contains(because), "{level:?}: {source}");
}

#[test]
fn deep_json_is_an_error() {
    use freshset::codec::Json;

    const BECAUSE: &str = "recursion limit exceeded";

    is_too_deep::<Chain>(&Json, br#"{"Newtype":"#, BECAUSE);
    is_too_deep::<Chain>(&Json, br#"{"Struct":{"next":"#, BECAUSE);
    is_too_deep::<Chain>(&Json, br#"{"Tuple":["#, BECAUSE);
    is_too_deep::<Sequence>(&Json, b"[", BECAUSE);
    is_too_deep::<Map>(&Json, br#"{"a":"#, BECAUSE);
}

#[test]
fn deep_message_pack_is_an_error() {
    use freshset::codec::MessagePack;

    const BECAUSE: &str = "nested too deeply";

    is_too_deep::<Chain>(&MessagePack, b"\x81\xa7Newtype", BECAUSE);
    is_too_deep::<Chain>(&MessagePack, b"\x81\xa6Struct\x81\xa4next", BECAUSE);
    is_too_deep::<Chain>(&MessagePack, b"\x81\xa5Tuple\x92", BECAUSE);
    // Neither takes a byte for a level.
    is_too_deep::<Optional>(&MessagePack, &[1], BECAUSE);
    is_too_deep::<Newtype>(&MessagePack, &[1], BECAUSE);
    is_too_deep::<Sequence>(&MessagePack, b"\x91", BECAUSE);
    is_too_deep::<Map>(&MessagePack, b"\x81\xa1a", BECAUSE);
}

#[test]
fn deep_postcard_is_an_error() {
    use freshset::codec::Postcard;

    // postcard keeps no texts. For the end of the bytes it has another error.
    const BECAUSE: &str = "Serde Deserialization Error";

    is_too_deep::<Chain>(&Postcard, &[1], BECAUSE);
    is_too_deep::<Chain>(&Postcard, &[2], BECAUSE);
    is_too_deep::<Chain>(&Postcard, &[3], BECAUSE);
    is_too_deep::<Optional>(&Postcard, &[1], BECAUSE);
    is_too_deep::<Newtype>(&Postcard, &[1], BECAUSE);
    is_too_deep::<Sequence>(&Postcard, &[1], BECAUSE);
    is_too_deep::<Map>(&Postcard, b"\x01\x01a", BECAUSE);
}

#[test]
fn message_pack_decodes_up_to_the_limit_of_depth() {
    decodes_up_to_the_limit_of_depth(&freshset::codec::MessagePack);
}

#[test]
fn postcard_decodes_up_to_the_limit_of_depth() {
    decodes_up_to_the_limit_of_depth(&freshset::codec::Postcard);
}

fn decodes_up_to_the_limit_of_depth(codec: &impl Codec<Chain>) {
    use freshset::codec::DECODED_DEPTH_MAX;

    let deepest = chain(DECODED_DEPTH_MAX);
    assert_eq!(codec.decode(&codec.encode(&deepest).unwrap()).unwrap(), deepest);
    let too_deep = codec.encode(&chain(DECODED_DEPTH_MAX + 1)).unwrap();
    assert!(codec.decode(&too_deep).is_err());
}
