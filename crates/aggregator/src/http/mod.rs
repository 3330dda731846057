//! The HTTP API and its server.
//!
//! [`router`](router::router) lists every route; each resource has a file with its handlers. A handler
//! checks the request and shapes the answer. It writes no SQL and does not know what makes an answer
//! fresh: it asks the cache and gives it a way to load. Events and replays go to the ingest pipeline.

pub mod auth;
mod batches;
mod body;
mod cached_answers;
pub mod changes;
pub mod compressed_forms;
mod compression;
mod conditional;
mod context;
mod dead_letters;
mod error;
pub mod events;
mod health;
pub mod limits;
mod metrics;
pub mod openapi;
mod outbox;
mod parameters;
mod preferred_coding;
pub mod problem;
mod router;
mod security_headers;
pub mod server;
mod state;
mod static_file;
mod viewer;
mod well_formed;

pub use self::compression::COMPRESSED_BODY_BYTES_MIN;
pub use self::context::CORRELATION_ID_CHARS_MAX;
pub use self::router::{router, router_beside, starting_router};
pub use self::state::ApiState;
