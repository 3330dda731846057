//! Ports for servers.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below the ports from which systems choose the client side of a connection (from 32768 on Linux).
/// A client that knocks at a stopped server on such a port could be given that very port, and would
/// then be connected to itself.
const PORTS: Range<u16> = 12_000..32_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A TCP port of 127.0.0.1 that nobody listens on; never the same one twice in a process.
///
/// # Panics
///
/// If every port of the range has been given or is taken.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = PORTS.end - PORTS.start;
    let start = random_below(count);
    let port = (0..count)
        .map(|step| PORTS.start + (start + step) % count)
        .find(|port| !given.contains(port) && is_free(*port));
    let Some(port) = port else { panic!("no free port in {PORTS:?}") };
    given.insert(port);
    port
}

/// Random, so that test processes that run at the same time do not try the same ports in turn.
fn random_below(limit: u16) -> u16 {
    (RandomState::new().hash_one(0_u8) % u64::from(limit)) as u16
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
