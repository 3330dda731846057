//! A payload of any bytes is a value or an error, in each format, and a value is stored as it was read.

#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use freshset::backend::home_generation;
use freshset::codec::{
    Codec, Json, MessagePack, Postcard, Raw, Zstd, decode_payload, encode_payload,
};
use libfuzzer_sys::fuzz_target;

type Value = BTreeMap<String, (Option<u32>, Vec<Vec<i64>>)>;

fn check<C: Codec<Value>>(codec: &C, stored: &[u8]) {
    let mut payload = codec.id().to_bytes().to_vec();
    payload.extend_from_slice(stored);
    if let Ok(value) = decode_payload(codec, &payload.into()) {
        let again = encode_payload(codec, &value).expect("what was read can be written");
        assert_eq!(decode_payload(codec, &again).expect("and read"), value);
    }
}

fuzz_target!(|stored: &[u8]| {
    let _ = home_generation(stored);
    let _: Result<Bytes, _> = decode_payload(&Raw, &Bytes::copy_from_slice(stored));
    check(&Json, stored);
    check(&MessagePack, stored);
    check(&Postcard, stored);
    check(&Zstd::new(Json), stored);
});
