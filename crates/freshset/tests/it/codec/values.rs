//! Random values of a type that has every kind of part.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Most elements of a sequence, and most characters of a text.
const ELEMENTS_MAX: usize = 5;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    id: u64,
    offset: i32,
    ratio: f64,
    name: String,
    character: char,
    flag: bool,
    nothing: (),
    pair: (u8, i64),
    parent: Option<Box<Sample>>,
    kinds: Vec<Kind>,
    counts: BTreeMap<String, u16>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(Option<u32>),
    Tuple(i16, String),
    Struct { bytes: Vec<u8>, is_last: bool },
}

impl Sample {
    pub(crate) fn random(random: &mut StdRng) -> Self {
        let parent = random.random_bool(0.4).then(|| Box::new(Self::random(random)));
        Self {
            // Numbers of all lengths: most formats write small ones shorter.
            id: random.random::<u64>() >> random.random_range(0..64),
            offset: random.random::<i32>() >> random.random_range(0..32),
            // Quarters: JSON may change the last digit of others.
            ratio: f64::from(random.random::<i32>()) / 4.0,
            name: text(random),
            character: random.random(),
            flag: random.random(),
            nothing: (),
            pair: (random.random(), random.random()),
            parent,
            kinds: (0..random.random_range(0..ELEMENTS_MAX))
                .map(|_| Kind::random(random))
                .collect(),
            counts: (0..random.random_range(0..ELEMENTS_MAX))
                .map(|_| (text(random), random.random()))
                .collect(),
        }
    }
}

impl Kind {
    fn random(random: &mut StdRng) -> Self {
        match random.random_range(0..4) {
            0 => Self::Unit,
            1 => Self::Newtype(random.random_bool(0.5).then(|| random.random())),
            2 => Self::Tuple(random.random(), text(random)),
            _ => Self::Struct { bytes: bytes(random, ELEMENTS_MAX), is_last: random.random() },
        }
    }
}

pub(crate) fn bytes(random: &mut StdRng, bytes_max: usize) -> Vec<u8> {
    (0..random.random_range(0..=bytes_max)).map(|_| random.random()).collect()
}

fn text(random: &mut StdRng) -> String {
    (0..random.random_range(0..ELEMENTS_MAX)).map(|_| random.random::<char>()).collect()
}
