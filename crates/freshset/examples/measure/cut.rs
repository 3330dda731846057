//! A fill sent in one write that is cut off after every single byte: what Redis stores.
//!
//! A pipeline is one write, but not one step: Redis executes the commands that arrived whole. Here every
//! possible length is tried, so nothing is left to chance.

use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::Result;
use crate::naive::{Naive, fill_commands};
use crate::report::{Table, grouped, progress};
use crate::server::Server;

const OWNER: &str = "cut";
const ENTRY: &str = "list";
const CONTENT: &str = "old";
/// A generation for the script to find, since without one it stores nothing.
const GENERATION_KEY: &str = "naive:g:cut";
const GENERATION: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// Cuts, by what they left.
#[derive(Debug, Default)]
struct Tally {
    cuts: u64,
    nothing: u64,
    whole: u64,
    /// An entry that is stored and not listed: no invalidation finds it.
    orphan: u64,
    /// An entry that is listed and not stored: trimmed later.
    dead_member: u64,
}

pub(crate) async fn measure(server: &Server) -> Result<impl Display> {
    progress("fills cut off after every byte");
    let (store, list) = fill_commands(OWNER, ENTRY, CONTENT);
    let naive = Naive::new(server, OWNER);
    let (index, entry) = (naive.index_key(), naive.entry_key(ENTRY));
    let script = fill_script(server, &index, &entry).await?;
    let both = |first: &redis::Cmd, second: &redis::Cmd, atomic: bool| {
        let mut pipe = redis::pipe();
        if atomic {
            pipe.atomic();
        }
        pipe.add_command(first.clone()).add_command(second.clone());
        pipe.get_packed_pipeline()
    };
    let mut table =
        Table::new(["one write", "cuts", "nothing stored", "whole", "dead member", "orphan"]);
    for (name, bytes) in [
        ("pipeline: `SETEX`, `SADD`", both(&store, &list, false)),
        ("pipeline: `SADD`, `SETEX`", both(&list, &store, false)),
        ("`MULTI`, `SETEX`, `SADD`, `EXEC`", both(&store, &list, true)),
        ("one script (`fill.lua`)", script.get_packed_command()),
    ] {
        let tally = cut_everywhere(server, &naive, &bytes).await?;
        table.row([
            name.to_owned(),
            grouped(tally.cuts),
            grouped(tally.nothing),
            grouped(tally.whole),
            grouped(tally.dead_member),
            grouped(tally.orphan),
        ]);
    }
    Ok(table)
}

/// The call of the loaded script, with the arguments that the cache sends.
async fn fill_script(server: &Server, index: &str, entry: &str) -> Result<redis::Cmd> {
    let script = redis::Script::new(include_str!("../../src/lua/fill.lua"));
    script.prepare_invoke().load_async(&mut server.admin()).await?;
    let stored = format!("{GENERATION}{CONTENT}");
    let mut call = redis::cmd("EVALSHA");
    call.arg(script.get_hash()).arg(4).arg(GENERATION_KEY).arg(index).arg(entry).arg("naive:h:cut");
    call.arg(GENERATION).arg(stored).arg(300_000).arg(entry).arg(600_000).arg(1_200_000).arg(1000);
    Ok(call)
}

async fn cut_everywhere(server: &Server, naive: &Naive, bytes: &[u8]) -> Result<Tally> {
    let mut tally = Tally::default();
    for length in 0..=bytes.len() {
        let _: () = server.ask(&["SET", GENERATION_KEY, GENERATION]).await?;
        send_and_hang_up(server, &bytes[..length])?;
        tally.cuts += 1;
        let entry: bool = server.ask(&["EXISTS", &naive.entry_key(ENTRY)]).await?;
        let member: bool = server.ask(&["EXISTS", &naive.index_key()]).await?;
        match (entry, member) {
            (false, false) => tally.nothing += 1,
            (true, true) => tally.whole += 1,
            (true, false) => tally.orphan += 1,
            (false, true) => tally.dead_member += 1,
        }
        let keys = [naive.entry_key(ENTRY), naive.index_key()];
        let _: u64 = server.ask(&["DEL", &keys[0], &keys[1]]).await?;
    }
    Ok(tally)
}

/// Sends these bytes only, and waits until Redis has processed them.
fn send_and_hang_up(server: &Server, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    // Ends when Redis has answered the whole commands, found the end, and closed.
    match stream.read_to_end(&mut Vec::new()) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.into()),
        _ => Ok(()),
    }
}
