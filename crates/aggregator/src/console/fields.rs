//! The fields of a form or of a query.

use axum::Form;
use axum::extract::{FromRequest, Request};

use crate::console::failure::Failure;

/// Fields as sent; one that is missing is empty, as one that was left blank is.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(sent, _)| sent == name).map_or("", |(_, value)| value)
    }

    /// The value without spaces around it; none if nothing is left.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|word| !word.is_empty())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        // The query of a GET, the body of a POST.
        let form = Form::from_request(request, state).await;
        let Form(fields) = form.map_err(|_| {
            Failure::bad_request("this form or query cannot be read, or is too large")
        })?;
        Ok(Self(fields))
    }
}
