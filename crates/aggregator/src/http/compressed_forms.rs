//! Compressed forms of the cached answers: each is made once in a process, for all its readers, and
//! kept while there is room.
//!
//! A form belongs to one answer, named by owner and entry key, in one version (its digest) and one coding.
//! The digest alone would not do: it is no cryptographic hash, so that a client might make two answers
//! with one digest, and get another user's.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use quick_cache::Weighter;
use quick_cache::sync::Cache as BoundedMap;
use tokio::task::spawn_blocking;

use crate::cache::{AnswerName, CachedAnswer, Digest};
use crate::http::compression::{COMPRESSED_BODY_BYTES_MIN, Coding, PreferredCodings};

/// Level of gzip, from 1 to 9.
const GZIP_LEVEL: u32 = 6;
/// Level of zstd, from 1 to 22. JSON with random ids is no smaller at a higher one.
const ZSTD_LEVEL: i32 = 1;
/// Bodies from this size on are compressed on a thread of their own: it takes longer than a task may
/// keep its thread.
const OWN_THREAD_BYTES_MIN: usize = 8 * 1024;
/// Size of a typical form, only used to size the table.
const FORM_BYTES_TYPICAL: u64 = 4 * 1024;
/// Rough cost of one form beside its bytes.
const FORM_OVERHEAD_BYTES: u64 = 200;

/// Compressed forms. Clones share them.
#[derive(Clone)]
pub struct CompressedForms {
    /// None: no form is kept.
    forms: Option<Arc<BoundedMap<FormName, Bytes, FormWeight>>>,
    preferred_codings: Arc<PreferredCodings>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FormName {
    answer: AnswerName,
    digest: Digest,
    coding: Coding,
}

#[derive(Clone)]
struct FormWeight;

impl Weighter<FormName, Bytes> for FormWeight {
    fn weight(&self, name: &FormName, form: &Bytes) -> u64 {
        (name.answer.byte_count() + form.len()) as u64 + FORM_OVERHEAD_BYTES
    }
}

impl CompressedForms {
    /// Keeps at most this many bytes; 0: no form is made here, and the compression layer compresses each
    /// answer anew.
    pub fn new(bytes_max: u64) -> Self {
        let kept = (bytes_max > 0).then(|| {
            let forms = usize::try_from(bytes_max / FORM_BYTES_TYPICAL).unwrap_or(usize::MAX);
            Arc::new(BoundedMap::with_weighter(forms.max(16), bytes_max, FormWeight))
        });
        Self { forms: kept, preferred_codings: Arc::default() }
    }

    pub(super) fn preferred_codings(&self) -> &PreferredCodings {
        &self.preferred_codings
    }

    /// The body of the answer in this coding: a kept form, or one that is made now, once for all who
    /// wait for it. None if the body is small, or forms are not kept.
    pub(super) async fn get(&self, answer: &CachedAnswer, coding: Coding) -> Option<Bytes> {
        let forms = self.forms.as_ref()?;
        if (answer.body.len() as u64) < COMPRESSED_BODY_BYTES_MIN {
            return None;
        }
        let name = FormName { answer: answer.name.clone(), digest: answer.digest, coding };
        let made = forms.get_or_insert_async(&name, compressed(answer.body.clone(), coding)).await;
        made.inspect_err(|error| tracing::error!(%error, "an answer cannot be compressed")).ok()
    }
}

impl fmt::Debug for CompressedForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = self.forms.as_ref().map(|forms| forms.len());
        f.debug_struct("CompressedForms").field("forms", &forms).finish_non_exhaustive()
    }
}

/// The body in this coding.
pub(super) async fn compressed(body: Bytes, coding: Coding) -> io::Result<Bytes> {
    if body.len() < OWN_THREAD_BYTES_MIN {
        return compress(&body, coding);
    }
    spawn_blocking(move || compress(&body, coding)).await?
}

fn compress(body: &[u8], coding: Coding) -> io::Result<Bytes> {
    let form = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
            encoder.write_all(body)?;
            encoder.finish()?
        }
        Coding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL)?,
    };
    // It is kept: without the capacity that it does not use.
    Ok(form.into_boxed_slice().into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use database::{DbError, PageQuery, Version};
    use freshset::Cache;
    use freshset::backend::memory::MemoryBackend;
    use projection::UserId;

    use super::*;
    use crate::answers::LoadedAnswer;
    use crate::cache::CacheManager;
    use crate::metrics::Metrics;

    const BYTES_MAX: u64 = 1024 * 1024;

    /// The answer to this user, whose body repeats one word.
    async fn answer(user: &str, word: &str) -> CachedAnswer {
        let backend = Arc::new(MemoryBackend::new());
        let cache = CacheManager::new(Cache::builder(backend), Metrics::new());
        let query = PageQuery {
            user_id: UserId::parse(user).unwrap(),
            statuses: Vec::new(),
            limit: 20,
            offset: 0,
            include_essays: true,
        };
        let load = || async {
            let body = word.repeat(1_000).into_bytes();
            Ok::<_, DbError>(LoadedAnswer { version: Version::default(), body })
        };
        cache.user_batches(&query, Version::default(), load).await.unwrap()
    }

    /// Even if somebody makes two answers with one digest.
    #[tokio::test]
    async fn answers_with_one_digest_have_forms_of_their_own() {
        let forms = CompressedForms::new(BYTES_MAX);
        let one = answer("one", "words").await;
        let other = answer("other", "other words").await;
        let forged = CachedAnswer { digest: one.digest, ..other };
        for coding in [Coding::Gzip, Coding::Zstd] {
            let form = forms.get(&one, coding).await.unwrap();
            assert_ne!(forms.get(&forged, coding).await.unwrap(), form);
            assert_eq!(forms.get(&one, coding).await.unwrap(), form);
        }
    }

    #[tokio::test]
    async fn forms_are_bounded_in_bytes() {
        let bytes_max = 64 * 1024;
        let forms = CompressedForms::new(bytes_max);
        let mut one = answer("one", "words").await;
        let form_bytes = forms.get(&one, Coding::Zstd).await.unwrap().len() as u64;
        let rounds = 3 * bytes_max / form_bytes;
        for round in 0..rounds {
            one.digest[..8].copy_from_slice(&round.to_be_bytes());
            forms.get(&one, Coding::Zstd).await.unwrap();
        }
        let kept = forms.forms.unwrap();
        assert!(kept.weight() <= bytes_max, "{} bytes", kept.weight());
        assert!((1..rounds).contains(&(kept.len() as u64)), "{} of {rounds}", kept.len());
    }

    #[tokio::test]
    async fn small_body_has_no_form_and_without_memory_none_has() {
        let small = answer("one", "").await;
        assert_eq!(CompressedForms::new(BYTES_MAX).get(&small, Coding::Gzip).await, None);
        let large = answer("one", "words").await;
        assert_eq!(CompressedForms::new(0).get(&large, Coding::Gzip).await, None);
    }
}
