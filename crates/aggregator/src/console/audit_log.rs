//! The audit log: a line for each login, for each action and for what became of it, in the log of the service.
//!
//! Its target is `console_audit`. A line has no secret and no id of a person or a batch: who must know them
//! has the database.

use std::fmt::Display;

use crate::console::access::Session;

/// Notes that somebody does something, before it is done. `object` is what it is done to.
pub(super) fn action(session: &Session, action: &'static str, object: impl Display) {
    let role = session.role().as_str();
    let session = session.short_id();
    tracing::info!(target: "console_audit", role, session, action, %object, "console action");
}

/// Notes what became of an action.
pub(super) fn ended(session: &Session, action: &'static str, outcome: &str) {
    let session = session.short_id();
    tracing::info!(target: "console_audit", session, action, outcome, "console action ended");
}

/// Notes a login that was refused.
pub(super) fn refused_login(reason: &'static str) {
    tracing::warn!(target: "console_audit", reason, "console login refused");
}
