//! Relay of the outbox: with outbox and broker in memory, for what no real ones do on demand, and paused
//! time; and its producer on a real Kafka.

mod broker;
mod http;
mod kafka;
mod order;
mod outage;
mod outbox;
mod stop;
mod world;
