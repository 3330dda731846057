//! The Lua scripts. Each file in `lua/` states its contract in its header.

use redis::{Cmd, cmd};

use crate::mutant::{Mutant, Planted};

/// A script, called by the hash of its text.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = redis::Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }

    /// The command that makes the server know it.
    pub(super) fn load(&self) -> Cmd {
        cmd("SCRIPT").arg("LOAD").arg(self.text).take()
    }

    /// The command that runs it. Its arguments are added to what this gives.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        cmd("EVALSHA").arg(&self.hash).arg(keys.len()).arg(keys).take()
    }
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) generation: Script,
    pub(super) fill: Script,
    pub(super) invalidate: Script,
    pub(super) collect: Script,
    pub(super) trim: Script,
}

impl Scripts {
    pub(super) fn all(&self) -> [&Script; 5] {
        [&self.generation, &self.fill, &self.invalidate, &self.collect, &self.trim]
    }

    pub(super) fn new(planted: Planted) -> Self {
        Self {
            generation: Script::new(generation(planted)),
            fill: Script::new(fill(planted)),
            invalidate: Script::new(invalidate(planted)),
            collect: Script::new(include_str!("../../lua/collect.lua")),
            trim: Script::new(include_str!("../../lua/trim.lua")),
        }
    }
}

fn generation(planted: Planted) -> &'static str {
    if planted.is(Mutant::CounterGeneration) {
        include_str!("../../lua/mutants/counter_generation.lua")
    } else if planted.is(Mutant::DuplicateGenerationRequest) {
        include_str!("../../lua/mutants/duplicate_generation_request.lua")
    } else {
        include_str!("../../lua/generation.lua")
    }
}

fn fill(planted: Planted) -> &'static str {
    if planted.is(Mutant::FillWithoutGenerationCheck) {
        include_str!("../../lua/mutants/fill_without_generation_check.lua")
    } else if planted.is(Mutant::ShortEntryShortensIndex) {
        include_str!("../../lua/mutants/short_entry_shortens_index.lua")
    } else if planted.is(Mutant::ExpiredEntryServed) {
        include_str!("../../lua/mutants/expired_entry_served.lua")
    } else {
        include_str!("../../lua/fill.lua")
    }
}

fn invalidate(planted: Planted) -> &'static str {
    if planted.is(Mutant::CounterGeneration) {
        include_str!("../../lua/mutants/counter_invalidate.lua")
    } else {
        include_str!("../../lua/invalidate.lua")
    }
}
