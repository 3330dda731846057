//! The operator's console at `/console`: what the service does, and what is wrong, for people.
//!
//! Pages are made here, on the server, and can be read without JavaScript; a short script of our own keeps
//! parts of them current. Every page needs a login (`access`), except in the embedded mode on a loopback
//! address. It works on what the other modules have, and decides nothing about events or freshness.

mod access;
mod assets;
mod audit_log;
mod batch;
mod dead_letters;
mod failure;
mod fields;
mod html;
mod jobs;
mod json;
mod login;
mod outbox;
mod overview;
mod page;
mod samples;
mod settings_page;
mod state;
mod streams;
mod teacher;
mod units;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

pub use self::access::Access;
pub use self::jobs::JobTools;
use self::state::Console;
pub use self::state::ConsoleParts;

/// Longest form, in bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// The routes of the console, and what keeps its pages current.
pub fn console(parts: ConsoleParts) -> (Router, ConsoleTask) {
    let access = Arc::clone(&parts.access);
    let console = Arc::new(Console::new(parts));
    let pages = Router::new()
        .route("/console", get(overview::show))
        .route("/console/overview/events", get(overview::events))
        .route("/console/dead-letters", get(dead_letters::show))
        .route("/console/dead-letters/{id}", get(dead_letters::show_one))
        .route("/console/dead-letters/{id}/replay", post(dead_letters::replay))
        .route("/console/dead-letters/{id}/discard", post(dead_letters::discard))
        .route("/console/dead-letters/job", get(dead_letters::show_job).post(dead_letters::start))
        .route("/console/dead-letters/job/events", get(dead_letters::events))
        .route("/console/dead-letters/job/stop", post(dead_letters::stop))
        .route("/console/outbox", get(outbox::show))
        .route("/console/batch", get(batch::show))
        .route("/console/teacher", get(teacher::show))
        .route("/console/teacher/invalidate", post(teacher::invalidate))
        .route("/console/settings", get(settings_page::show))
        .route("/console/logout", post(login::log_out))
        .layer(from_fn_with_state(Arc::clone(&access), access::require_session));
    let routes = Router::new()
        .merge(pages)
        .route("/console/login", get(login::show).post(login::log_in))
        .route("/console/assets/{name}", get(assets::read))
        .layer(from_fn_with_state(access, access::require_host))
        .layer(from_fn(page::add_headers))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(Arc::clone(&console));
    (routes, ConsoleTask { console })
}

/// Keeps the pages current until the service stops.
pub struct ConsoleTask {
    console: Arc<Console>,
}

impl ConsoleTask {
    /// Takes samples for the pages until `stop` fires; then every stream ends.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = overview::keep_current(&self.console) => {}
            () = dead_letters::keep_current(&self.console) => {}
            () = stop.cancelled() => {}
        }
        self.console.stop.cancel();
    }
}
