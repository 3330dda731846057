//! The service as its users have it: real processes, real servers, real signals.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod consistency;
mod crash;
mod events;
mod lifecycle;
mod load;
mod malformed;
mod outage;
mod publish;
mod published;
mod service;
mod tools;
mod topics;
mod visible;
