//! Ids of codecs: who may read which payload.

use std::sync::Arc;

use bytes::Bytes;
use freshset::codec::{
    CODEC_ID_BYTES, Codec, CodecError, CodecId, Raw, decode_payload, encode_payload,
};

/// Another form of bytes, which could read everything.
struct Reversed;

impl Codec<Bytes> for Reversed {
    fn id(&self) -> CodecId {
        const { CodecId::new("reversed") }
    }

    fn encode(&self, value: &Bytes) -> Result<Bytes, CodecError> {
        Ok(value.iter().rev().copied().collect())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, CodecError> {
        self.encode(bytes)
    }
}

#[test]
fn payload_of_another_codec_is_refused() {
    let value = Bytes::from("abc");
    let payload = encode_payload(&Reversed, &value).unwrap();
    assert_eq!(decode_payload(&Reversed, &payload).unwrap(), value);
    assert!(matches!(decode_payload(&Raw, &payload), Err(CodecError::OtherCodec)));
}

#[test]
fn payload_without_a_whole_id_is_refused() {
    let payload = encode_payload(&Raw, &Bytes::new()).unwrap();
    assert_eq!(payload.len(), CODEC_ID_BYTES);
    for length in 0..CODEC_ID_BYTES {
        let cut = payload.slice(..length);
        assert!(matches!(decode_payload(&Raw, &cut), Err(CodecError::OtherCodec)), "{length}");
    }
}

#[test]
fn codec_chosen_at_run_time_reads_what_the_same_one_wrote() {
    let value = Bytes::from("abc");
    let chosen: [Arc<dyn Codec<Bytes>>; 2] = [Arc::new(Raw), Arc::new(Reversed)];
    let payloads = chosen.each_ref().map(|codec| encode_payload(codec, &value).unwrap());
    assert_eq!(payloads[0], encode_payload(&Raw, &value).unwrap());
    for (codec, payload) in chosen.iter().zip(&payloads) {
        assert_eq!(decode_payload(codec, payload).unwrap(), value);
        assert_eq!(decode_payload(&**codec, payload).unwrap(), value);
    }
    assert!(decode_payload(&chosen[0], &payloads[1]).is_err());
}

/// With another id, a new build would miss every entry of the old one.
#[test]
fn ids_never_change() {
    assert_eq!(Raw.id().to_bytes(), [0x43, 0xff, 0x12, 0xf1]);
    assert_eq!(Codec::<u8>::id(&freshset::codec::Json).to_bytes(), [0x36, 0xa1, 0xa2, 0x43]);
    assert_eq!(Codec::<u8>::id(&freshset::codec::MessagePack).to_bytes(), [0x0b, 0x0a, 0x5d, 0xd6]);
    assert_eq!(Codec::<u8>::id(&freshset::codec::Postcard).to_bytes(), [0x09, 0x06, 0xd7, 0xa1]);
    assert_eq!(freshset::codec::Zstd::new(Raw).id().to_bytes(), [0xd6, 0xc2, 0x69, 0x47]);
}
