//! The relay: over an outbox and a broker in memory for what no real ones do on demand, with time that
//! only tests move; and its producer on a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod broker;
mod http;
mod kafka;
mod order;
mod outage;
mod outbox;
mod stop;
mod world;
