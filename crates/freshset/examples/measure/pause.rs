//! Two ways to drop by the index at once: delete every entry in one script, or set the index aside.
//!
//! Both are atomic. What differs is how long every other client waits.

use std::fmt::Display;

use freshset::Owner;

use crate::Result;
use crate::invalidations::{Figures, drop_by_index, drops_by_index, measure_drop, medians};
use crate::report::{Table, grouped, progress, ratio, time};
use crate::server::{Logged, Server, Watch, entry_prefix, index_key};

/// Entries of the owner that is invalidated.
const ENTRIES: u64 = 100_000;
/// Drops of each kind, an odd number.
const RUNS: usize = 3;

/// Deletes what the index lists, and the index. The generation goes too, so that the next fill
/// finds the owner as after any other drop.
const DELETE_ALL: &str = "
local members = redis.call('SMEMBERS', KEYS[1])
for _, member in ipairs(members) do redis.call('DEL', ARGV[1] .. member) end
redis.call('DEL', KEYS[1], KEYS[2])
return #members";

pub(crate) async fn measure(server: &Server) -> Result<impl Display> {
    progress(&format!("drops of {} pages", grouped(ENTRIES)));
    let watch = server.watch()?;
    let all_at_once = median_drop(server, &watch, true).await?;
    let set_aside = median_drop(server, &watch, false).await?;

    let mut table = Table::new([
        "one script",
        "caller waits",
        "inside Redis",
        "freed afterwards",
        "another client waits",
    ]);
    for (name, figures) in [
        ("`SMEMBERS`, `DEL` each page", all_at_once),
        ("`RENAME` the index (`drop.lua`)", set_aside),
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
        "{table}\nMedians of {RUNS} drops of an owner with {} pages. What the other client waits is \
         watched until the last page is freed; the ratio is {}.",
        grouped(ENTRIES),
        ratio(all_at_once.pause, set_aside.pause)
    ))
}

async fn median_drop(server: &Server, watch: &Watch, deletes_all: bool) -> Result<Figures> {
    let cache = server.cache()?;
    let owner = Owner::new("user", "u")?;
    cache.invalidate(&owner).await?;
    let mut invalidations = Vec::new();
    for _ in 0..RUNS {
        server.fill(&cache, &owner, ENTRIES).await?;
        let drop = async || match deletes_all {
            true => delete_all(server, &owner).await,
            false => drop_by_index(&cache, &owner).await,
        };
        let sent = |command: &Logged| match deletes_all {
            true => command.name().0 == "EVAL",
            false => drops_by_index(command),
        };
        invalidations.push(measure_drop(server, watch, &owner, drop, sent).await?);
    }
    medians(&invalidations).ok_or_else(|| "no drops".into())
}

async fn delete_all(server: &Server, owner: &Owner) -> Result<u64> {
    let generation = index_key(owner).replacen(":i:", ":g:", 1);
    let (index, prefix) = (index_key(owner), entry_prefix(owner));
    let _: u64 = server.ask(&["EVAL", DELETE_ALL, "2", &index, &generation, &prefix]).await?;
    Ok(1)
}
