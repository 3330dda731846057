//! Runs every example as its own process, on real servers, and checks what it prints and does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod axum_list;
mod kafka_consumer;
mod nats_consumer;
mod programs;
mod support;
