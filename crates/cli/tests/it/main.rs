//! The service as its users have it: real processes, real servers, real signals.
//! `retention.rs` alone has the modules without their process, because hours must pass.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod cache_check;
mod checker;
mod connections;
mod consistency;
mod crash;
mod database;
mod dead_letters;
mod events;
mod journal;
mod lifecycle;
mod lives;
mod load;
mod malformed;
mod metrics;
mod outage;
mod output;
mod publish;
mod published;
mod readiness;
mod replicas;
mod retention;
mod servers;
mod service;
mod settings;
mod show;
mod simulate;
mod single;
mod stop;
mod tools;
mod topics;
mod visible;
mod wire;
