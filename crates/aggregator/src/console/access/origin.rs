//! Where a request comes from: a form must come from a page of this console.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

use crate::console::failure::Failure;

/// Refuses a form that another site has sent, or a client that does not say where it is.
///
/// Browsers send `Sec-Fetch-Site` over TLS and to loopback addresses; the others send `Origin`.
pub(in crate::console) fn require_same_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_same = match text("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let origin = text(ORIGIN.as_str()).and_then(|origin| Some(origin.split_once("://")?.1));
            origin.is_some() && origin == text(HOST.as_str())
        }
    };
    if is_same {
        Ok(())
    } else {
        Err(Failure::forbidden("this form was not sent by a page of this console"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_form_of_the_same_origin_is_taken() {
        #[track_caller]
        fn check(sent: &[(&'static str, &'static str)], want: bool) {
            let headers = sent.iter().map(|(name, value)| {
                (name.parse().unwrap(), axum::http::HeaderValue::from_static(value))
            });
            assert_eq!(require_same_origin(&headers.collect()).is_ok(), want, "{sent:?}");
        }
        check(&[], false);
        check(&[("sec-fetch-site", "same-origin")], true);
        for site in ["cross-site", "same-site", "none", ""] {
            check(&[("sec-fetch-site", site), ("host", "a"), ("origin", "https://a")], false);
        }
        check(&[("host", "a:1"), ("origin", "https://a:1")], true);
        check(&[("host", "a:1"), ("origin", "https://a:2")], false);
        check(&[("host", "a"), ("origin", "null")], false);
        check(&[("host", "a")], false);
    }
}
