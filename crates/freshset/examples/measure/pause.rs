//! Two atomic invalidations by the index: delete every entry in one script, or set the index aside.
//!
//! They differ in how long every other client waits.

use std::fmt::Display;

use freshset::Owner;

use crate::Result;
use crate::invalidations::{
    Figures, invalidate_by_index, is_invalidation, measure_invalidation, medians,
};
use crate::report::{Table, grouped, progress, ratio, time};
use crate::server::{Logged, Server, Watch, entry_prefix, index_key};

/// Entries of the owner that is invalidated.
const ENTRIES: u64 = 100_000;
/// Invalidations of each kind, an odd number.
const RUNS: usize = 3;

/// Deletes what the index lists, the index, and the generation, so that the next fill finds the owner as
/// after any other invalidation.
const DELETE_ALL: &str = "
local members = redis.call('SMEMBERS', KEYS[1])
for _, member in ipairs(members) do redis.call('DEL', ARGV[1] .. member) end
redis.call('DEL', KEYS[1], KEYS[2])
return #members";

pub(crate) async fn measure(server: &Server) -> Result<impl Display> {
    progress(&format!("invalidations of {} entries", grouped(ENTRIES)));
    let watch = server.watch()?;
    let all_at_once = median_invalidation(server, &watch, true).await?;
    let set_aside = median_invalidation(server, &watch, false).await?;

    let mut table = Table::new([
        "one script",
        "caller waits",
        "inside Redis",
        "freed afterwards",
        "another client waits",
    ]);
    for (name, figures) in [
        ("`SMEMBERS`, `DEL` each entry", all_at_once),
        ("`RENAME` the index (`invalidate.lua`)", set_aside),
    ] {
        let freed_afterwards = match figures.freeing.is_zero() {
            true => "nothing".to_owned(),
            false => format!("in {}", time(figures.freeing)),
        };
        table.row([
            name.to_owned(),
            time(figures.waited),
            time(figures.inside),
            freed_afterwards,
            time(figures.pause),
        ]);
    }
    Ok(format!(
        "{table}\nMedians of {RUNS} invalidations of an owner with {} entries. The wait of the other client is \
         watched until the last entry is freed; the ratio is {}.",
        grouped(ENTRIES),
        ratio(all_at_once.pause, set_aside.pause)
    ))
}

async fn median_invalidation(server: &Server, watch: &Watch, deletes_all: bool) -> Result<Figures> {
    let cache = server.cache()?;
    let owner = Owner::new("user", "u")?;
    cache.invalidate(&owner).await?;
    let mut figures = Vec::new();
    for _ in 0..RUNS {
        server.fill(&cache, &owner, ENTRIES).await?;
        let invalidate = async || match deletes_all {
            true => delete_all(server, &owner).await,
            false => invalidate_by_index(&cache, &owner).await,
        };
        let sent = |command: &Logged| match deletes_all {
            true => command.name().0 == "EVAL",
            false => is_invalidation(command),
        };
        figures.push(measure_invalidation(server, watch, &owner, invalidate, sent).await?);
    }
    medians(&figures).ok_or_else(|| "no invalidations".into())
}

async fn delete_all(server: &Server, owner: &Owner) -> Result<u64> {
    let generation = index_key(owner).replacen(":i:", ":g:", 1);
    let (index, prefix) = (index_key(owner), entry_prefix(owner));
    let _: u64 = server.ask(&["EVAL", DELETE_ALL, "2", &index, &generation, &prefix]).await?;
    Ok(1)
}
