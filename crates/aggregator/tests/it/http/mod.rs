//! The API over fake repositories and a fake cache backend that fail on demand. The real ones are tested
//! in their own crates.
mod app;
mod auth;
mod caching;
mod changes;
mod compression;
mod context;
mod failures;
mod fakes;
mod health;
mod ids;
mod lists;
mod metrics;
mod openapi;
mod problems;
mod routes;
mod security_headers;
mod server;
mod server_tls;
mod status;
mod versions;
mod viewer;
