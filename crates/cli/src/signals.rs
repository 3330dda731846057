//! Signals that stop the process.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal: 128 + SIGINT, as a shell reports it.
const INTERRUPTED: i32 = 130;
/// Where Linux says which signals this process ignores: a line `SigIgn:` with a mask in hexadecimal digits.
const PROCESS_STATUS: &str = "/proc/self/status";
/// SIGHUP in that mask.
const HANGUP_BIT: u64 = 1;

/// A token that is cancelled by the first SIGINT, SIGTERM or SIGHUP. The second one ends the process at
/// once.
pub(crate) fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut hangup = hangup()?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = received(hangup.as_mut()) => {}
            }
            if is_first {
                // Before the log line: a log that blocks must not delay the stop.
                cancelled.cancel();
                tracing::info!("stopping; send the signal again to stop at once");
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}

/// SIGHUP, unless who started this process has made it ignore that, as `nohup` does.
fn hangup() -> anyhow::Result<Option<Signal>> {
    let status = std::fs::read_to_string(PROCESS_STATUS).unwrap_or_default();
    if ignores_hangup(&status) {
        return Ok(None);
    }
    signal(SignalKind::hangup()).context("listen for SIGHUP").map(Some)
}

/// False where the system does not say.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & HANGUP_BIT != 0)
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn mask_says_whether_hangup_is_ignored() {
        for (mask, ignores) in [
            ("0000000000000001", true),
            ("0000000000001001", true),
            ("0000000000001000", false),
            ("0000000000000000", false),
            ("no mask", false),
        ] {
            let status = format!("SigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t1\n");
            assert_eq!(ignores_hangup(&status), ignores, "{mask}");
        }
        assert!(!ignores_hangup(""));
    }
}
