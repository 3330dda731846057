//! The page *Settings*: what is in force, and where each value comes from.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::config::EffectiveSetting;
use crate::console::access::Session;
use crate::console::failure::Failure;
use crate::console::page::{Frame, rendered};
use crate::console::state::Console;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    frame: Frame,
    settings: &'a [EffectiveSetting],
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
) -> Result<Response, Failure> {
    let frame = Frame::new(&console, &session, "Settings");
    rendered(&SettingsPage { frame, settings: &console.parts.settings })
}
