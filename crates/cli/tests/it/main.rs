//! System tests: the service as its users have it, with real processes, servers and signals.
//!
//! `retention.rs` alone runs modules of the service without its process, because hours must pass on
//! its clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod api_document;
mod api_viewer;
mod audit;
mod cache_check;
mod cached_answers;
mod changes;
mod command_help;
mod connections;
mod consistency;
mod console;
mod crash;
mod database_outage;
mod dead_letters;
mod demo;
mod doctor;
mod drain;
mod group_ahead;
mod health;
mod kafka_security;
mod lifecycle;
mod lives;
mod malformed;
mod metrics;
mod monitoring;
mod near_copies;
mod output;
mod postgres_tls;
mod publish;
mod readiness;
mod redis_outage;
mod redis_servers;
mod replay;
mod replicas;
mod retention;
mod settings;
mod show;
mod simulate;
mod single_process;
mod stop;
mod support;
mod tls;
mod traces;
mod versions;
mod visible;
mod wire;
