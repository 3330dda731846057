//! The API from the outside: requests in, answers out, over a repository and a cache that can be
//! told to fail. What the real stores answer is tested with the stores.
mod app;
mod auth;
mod caching;
mod compression;
mod context;
mod failures;
mod fakes;
mod health;
mod ids;
mod lists;
mod metrics;
mod problems;
mod routes;
mod server;
mod status;
