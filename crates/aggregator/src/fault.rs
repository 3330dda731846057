//! Fault points, at which a test pauses the service and kills it.
//!
//! They do nothing unless the crate is built with the feature `fault-injection`, which no release is.
//! With it, `FAULT_PAUSE_AT=<point>` makes a task that reaches the point print `fault: paused at <point>`
//! and wait for ever.

/// Marks a fault point.
#[cfg(not(feature = "fault-injection"))]
#[inline]
pub async fn point(_name: &'static str) {}

/// Marks a fault point, and waits there for ever if a test asks for it.
#[cfg(feature = "fault-injection")]
pub async fn point(name: &'static str) {
    if std::env::var("FAULT_PAUSE_AT").is_ok_and(|wanted| wanted == name) {
        // The test waits for this line.
        crate::output::write_line(
            std::io::stderr().lock(),
            format_args!("fault: paused at {name}"),
        );
        std::future::pending::<()>().await;
    }
}

/// The mistake that `FAULT_MUTANT` asks to plant in the cache, if any.
#[cfg(feature = "fault-injection")]
pub fn planted_mutant() -> Option<freshset::testing::Mutant> {
    use freshset::testing::Mutant;

    match std::env::var("FAULT_MUTANT").ok()?.as_str() {
        "fill-without-generation-check" => Some(Mutant::FillWithoutGenerationCheck),
        "near-copy-unchecked" => Some(Mutant::NearCopyUnchecked),
        "smembers-then-del" => Some(Mutant::SmembersThenDel),
        _ => None,
    }
}
