//! Files that are part of the program. Each is compressed once in a process and coding, and has a tag.

use std::sync::OnceLock;

use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::cache::digest_of;
use crate::http::compressed_forms::compressed;
use crate::http::compression::{COMPRESSED_BODY_BYTES_MIN, Coding};
use crate::http::conditional::{EntityTag, IfNoneMatch, with_body};

/// Another build may have another one: browsers ask again after this time.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=300");

/// A file with its compressed forms.
pub(super) struct StaticFile {
    content_type: HeaderValue,
    text: Bytes,
    tag: OnceLock<EntityTag>,
    gzip: OnceCell<Bytes>,
    zstd: OnceCell<Bytes>,
}

impl StaticFile {
    pub(super) const fn new(content_type: &'static str, text: &'static str) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            text: Bytes::from_static(text.as_bytes()),
            tag: OnceLock::new(),
            gzip: OnceCell::const_new(),
            zstd: OnceCell::const_new(),
        }
    }

    /// 200 with the file in the coding that the client prefers, or 304 without if the client already has it.
    pub(super) async fn answer(&self, condition: &IfNoneMatch, coding: Option<Coding>) -> Response {
        let tag = self.tag.get_or_init(|| EntityTag::new(digest_of(&self.text)));
        let whole = async {
            let form = self.form(coding).await;
            with_body(self.content_type.clone(), self.text.clone(), form)
        };
        let mut response = condition.unless_matched(tag, whole).await;
        response.headers_mut().insert(CACHE_CONTROL, CACHE);
        response
    }

    /// The compressed form, made now if it is the first time. None: the file is sent as it is.
    async fn form(&self, coding: Option<Coding>) -> Option<(Coding, Bytes)> {
        let coding = coding.filter(|_| self.text.len() as u64 >= COMPRESSED_BODY_BYTES_MIN)?;
        let form = match coding {
            Coding::Gzip => &self.gzip,
            Coding::Zstd => &self.zstd,
        };
        let made = form.get_or_try_init(|| compressed(self.text.clone(), coding)).await;
        let made = made.inspect_err(|error| tracing::error!(%error, "a file cannot be compressed"));
        made.ok().map(|form| (coding, form.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn form_of_a_file_is_made_once_in_each_coding() {
        let file = StaticFile::new("text/plain", include_str!("static_file.rs"));
        for coding in [Coding::Gzip, Coding::Zstd] {
            let (_, first) = file.form(Some(coding)).await.unwrap();
            let (_, second) = file.form(Some(coding)).await.unwrap();
            assert_eq!(first.as_ptr(), second.as_ptr(), "{coding:?}");
            assert!(first.len() < file.text.len());
        }
        assert_eq!(file.form(None).await, None);
        assert_eq!(StaticFile::new("text/plain", "small").form(Some(Coding::Gzip)).await, None);
    }
}
