//! Coding that a client prefers, for the handlers whose answers have kept forms.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::compression::Coding;
use crate::http::state::ApiState;

/// The coding in which a large answer is sent to this client; none: plain.
pub(super) struct PreferredCoding(pub(super) Option<Coding>);

impl FromRequestParts<Arc<ApiState>> for PreferredCoding {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<ApiState>,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self(state.compressed.preferred_codings().of(&parts.headers).await))
    }
}
