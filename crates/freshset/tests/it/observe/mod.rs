//! What a cache reports: events, metrics, spans, log lines.

mod events;
mod faults;
mod metrics;
mod outages;
mod spans;
