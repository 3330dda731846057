//! The relay: over an outbox and a broker in memory for what no real ones do on demand, with time that
//! only tests move; and its producer on a real Kafka.
mod broker;
mod http;
mod kafka;
mod order;
mod outage;
mod outbox;
mod stop;
mod world;
