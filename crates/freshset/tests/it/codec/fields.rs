//! Fields that are added, moved and removed, in codecs that write their names.

use freshset::codec::Codec;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Before {
    name: String,
    age: u8,
    removed: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct After {
    age: u8,
    #[serde(default)]
    added: Vec<String>,
    name: String,
}

#[test]
fn json_of_a_changed_struct_is_read_by_names() {
    is_read_by_names(&freshset::codec::Json);
}

#[test]
fn message_pack_of_a_changed_struct_is_read_by_names() {
    is_read_by_names(&freshset::codec::MessagePack);
}

fn is_read_by_names(codec: &(impl Codec<Before> + Codec<After>)) {
    let before = Before { name: "Ada".into(), age: 36, removed: true };
    let after = After { age: 36, added: Vec::new(), name: "Ada".into() };
    assert_eq!(Codec::<After>::decode(codec, &codec.encode(&before).unwrap()).unwrap(), after);
}
