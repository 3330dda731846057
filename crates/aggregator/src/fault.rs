//! Places where a test can hold the service, to kill it there.
//!
//! Does nothing unless the crate is built with the feature `fault-injection`, which no release is.
//! With it, `FAULT_PAUSE_AT=<place>` makes whatever arrives there print `fault: paused at <place>`
//! and wait for ever.

/// Marks a place.
#[cfg(not(feature = "fault-injection"))]
#[inline]
pub async fn point(_place: &'static str) {}

/// Marks a place, and waits there for ever if a test asks for it.
#[cfg(feature = "fault-injection")]
pub async fn point(place: &'static str) {
    if std::env::var("FAULT_PAUSE_AT").is_ok_and(|wanted| wanted == place) {
        // The test waits for this line.
        crate::output::write_line(
            std::io::stderr().lock(),
            format_args!("fault: paused at {place}"),
        );
        std::future::pending::<()>().await;
    }
}

/// The mistake that `FAULT_MUTANT` asks to plant in the cache, if any.
#[cfg(feature = "fault-injection")]
pub fn planted_mutant() -> Option<freshset::Mutant> {
    match std::env::var("FAULT_MUTANT").ok()?.as_str() {
        "fill-without-generation-check" => Some(freshset::Mutant::FillWithoutGenerationCheck),
        "smembers-then-del" => Some(freshset::Mutant::SmembersThenDel),
        _ => None,
    }
}
