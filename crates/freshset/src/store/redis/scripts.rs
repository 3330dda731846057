//! One constant per script. Each file in `lua/` states its contract in its header.

use redis::Script;

use crate::mutant::{Mutant, Planted};

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) token: Script,
    pub(super) fill: Script,
    pub(super) drop: Script,
    pub(super) reap: Script,
    pub(super) trim: Script,
}

impl Scripts {
    pub(super) fn all(&self) -> [&Script; 5] {
        [&self.token, &self.fill, &self.drop, &self.reap, &self.trim]
    }

    pub(super) fn new(planted: Planted) -> Self {
        Self {
            token: Script::new(token(planted)),
            fill: Script::new(fill(planted)),
            drop: Script::new(drop(planted)),
            reap: Script::new(include_str!("../../lua/reap.lua")),
            trim: Script::new(include_str!("../../lua/trim.lua")),
        }
    }
}

fn token(planted: Planted) -> &'static str {
    if planted.is(Mutant::CounterGeneration) {
        include_str!("../../lua/mutants/counter_generation.lua")
    } else if planted.is(Mutant::DuplicateTokenRequest) {
        include_str!("../../lua/mutants/duplicate_token_request.lua")
    } else {
        include_str!("../../lua/token.lua")
    }
}

fn fill(planted: Planted) -> &'static str {
    if planted.is(Mutant::FillWithoutTokenCheck) {
        include_str!("../../lua/mutants/fill_without_token_check.lua")
    } else if planted.is(Mutant::ShortPageShortensIndex) {
        include_str!("../../lua/mutants/short_page_shortens_index.lua")
    } else if planted.is(Mutant::ExpiredPageServed) {
        include_str!("../../lua/mutants/expired_page_served.lua")
    } else {
        include_str!("../../lua/fill.lua")
    }
}

fn drop(planted: Planted) -> &'static str {
    if planted.is(Mutant::CounterGeneration) {
        include_str!("../../lua/mutants/counter_drop.lua")
    } else {
        include_str!("../../lua/drop.lua")
    }
}
