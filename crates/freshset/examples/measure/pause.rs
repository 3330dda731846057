//! Two ways to drop by the index at once: delete every page in one script, or set the index aside.
//!
//! Both are atomic. What differs is how long every other client waits.

use std::fmt::Display;

use freshset::{Cache, Owner};

use crate::Result;
use crate::drops::{Figures, drop_script, measure_drop, medians};
use crate::report::{Table, grouped, progress, ratio, time};
use crate::server::{Inside, Logged, Server, Watch, index_key, page_prefix};

/// Pages of the owner that is dropped.
const PAGES: u64 = 100_000;
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
    progress(&format!("drops of {} pages", grouped(PAGES)));
    let watch = server.watch()?;
    let delete_all = median_drop(server, &watch, true).await?;
    let set_aside = median_drop(server, &watch, false).await?;

    let mut table = Table::new([
        "drop",
        "caller waits",
        "inside Redis",
        "freed afterwards, inside Redis",
        "in commands",
        "another client waits",
    ]);
    for (name, figures) in [
        ("one script: `SMEMBERS`, `DEL` each page", delete_all),
        ("one script: `RENAME` the index (`drop.lua`)", set_aside),
    ] {
        let Figures { waited, inside, freeing, pause } = figures;
        table.row([
            name.to_owned(),
            time(waited),
            time(inside.total),
            if freeing == Inside::default() { "–".to_owned() } else { time(freeing.total) },
            grouped(freeing.commands),
            time(pause),
        ]);
    }
    Ok(format!(
        "{table}\nMedians of {RUNS} drops of an owner with {} pages. The other client's wait is \
         measured until the last page is freed; ratio {}.",
        grouped(PAGES),
        ratio(delete_all.pause, set_aside.pause)
    ))
}

async fn median_drop(server: &Server, watch: &Watch, deletes_all: bool) -> Result<Figures> {
    let cache = server.cache()?;
    let owner = Owner::new("user", "u")?;
    let mut drops = Vec::new();
    for _ in 0..RUNS {
        server.fill(&cache, &owner, PAGES).await?;
        let drop = async || match deletes_all {
            true => delete_all(server, &owner).await,
            false => set_aside(&cache, &owner).await,
        };
        let sent = |command: &Logged| {
            let (name, first) = command.name();
            let aside = name == "EVALSHA" && first == drop_script().get_hash();
            if deletes_all { name == "EVAL" } else { aside }
        };
        drops.push(measure_drop(server, watch, &owner, drop, sent).await?);
    }
    medians(&drops).ok_or_else(|| "no drops".into())
}

async fn delete_all(server: &Server, owner: &Owner) -> Result<()> {
    let generation = index_key(owner).replacen(":i:", ":g:", 1);
    let (index, prefix) = (index_key(owner), page_prefix(owner));
    let _: u64 = server.ask(&["EVAL", DELETE_ALL, "2", &index, &generation, &prefix]).await?;
    Ok(())
}

async fn set_aside(cache: &Cache, owner: &Owner) -> Result<()> {
    cache.invalidate(owner).await?;
    Ok(())
}
