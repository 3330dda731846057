//! Body of a request that writes: decoded, complete, and within its limits.
//!
//! Memory for it is reserved before its first byte is read.

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncBufRead;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::http::limits::{Deadline, WriteLimits};
use crate::http::problem::{Problem, ProblemCode};

/// Largest body, in bytes, as sent and as decoded: a few of the largest records, thousands of common
/// ones.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much of a body that is too large is read and ignored, in bytes, so that the sender gets the
/// answer instead of a closed connection.
const IGNORED_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;
/// Largest window of a zstd frame, as a power of two: the 8 MiB that RFC 9659 allows on the web.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The value of `Accept-Encoding`.
const CODINGS: &str = "gzip, zstd, identity";

/// A body in memory, with its share of the memory for bodies.
#[derive(Debug)]
pub(super) struct HeldBody {
    pub(super) bytes: Vec<u8>,
    pub(super) memory: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Reads the whole body.
pub(super) async fn read(
    limits: &WriteLimits,
    deadline: Deadline,
    headers: &HeaderMap,
    body: Body,
) -> Result<HeldBody, Problem> {
    const SLOW: &str = "the body did not arrive within the time limit of the request";
    let coding = Coding::of(headers)?;
    // A decoded body may have any length up to the limit, whatever its Content-Length.
    let declared = body.size_hint().exact().filter(|_| coding == Coding::Identity);
    let declared = declared.and_then(|bytes| usize::try_from(bytes).ok());
    let bytes_max = declared.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
    let mut memory = limits.body_memory(deadline, bytes_max).await?;
    let reading = read_decoded(coding, body, bytes_max);
    let bytes = deadline.limit(reading, SLOW).await;
    let bytes = bytes.map_err(|_| Problem::new(ProblemCode::SlowBody, SLOW))??;
    // Others may use what was reserved and not needed.
    drop(memory.split(memory.num_permits().saturating_sub(bytes.len())));
    Ok(HeldBody { bytes, memory })
}

impl Coding {
    /// At most one coding. An unknown one is refused: read as plain text, the body would be split into
    /// lines, each of which would become a dead letter.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter().flat_map(|line| {
            // A value that is no text is no known coding.
            line.to_str().unwrap_or("?").split(',').map(str::trim).filter(|name| !name.is_empty())
        });
        let coding = match codings.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("identity") => Some(Self::Identity),
            Some("gzip" | "x-gzip") => Some(Self::Gzip),
            Some("zstd") => Some(Self::Zstd),
            Some(_) => None,
        };
        coding.filter(|_| codings.next().is_none()).ok_or_else(|| {
            let detail = "Content-Encoding: send one of gzip, zstd, identity";
            Problem::new(ProblemCode::UnsupportedEncoding, detail).with_accept_encoding(CODINGS)
        })
    }
}

async fn read_decoded(coding: Coding, body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let parts = body.into_data_stream();
    if coding == Coding::Identity {
        return collect(parts.map(|part| part.map_err(io::Error::other)), bytes_max).await;
    }
    let mut encoded = 0_usize;
    let parts = parts.map(move |part| {
        let part = part.map_err(io::Error::other)?;
        encoded += part.len();
        if encoded > BODY_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(part)
    });
    let encoded = StreamReader::new(parts);
    match coding {
        Coding::Zstd => {
            let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
            let mut decoder = ZstdDecoder::with_params(encoded, &[window]);
            decoder.multiple_members(true);
            collect(ReaderStream::new(decoder), bytes_max).await
        }
        Coding::Gzip | Coding::Identity => {
            collect(ReaderStream::new(gzip(encoded)), bytes_max).await
        }
    }
}

/// A gzip file may have several members, one after another.
fn gzip<R: AsyncBufRead>(encoded: R) -> GzipDecoder<R> {
    let mut decoder = GzipDecoder::new(encoded);
    decoder.multiple_members(true);
    decoder
}

/// All parts together, if they have at most [`BODY_BYTES_MAX`]; `bytes_max` is the expected length.
async fn collect(
    parts: impl Stream<Item = io::Result<Bytes>>,
    bytes_max: usize,
) -> Result<Vec<u8>, Problem> {
    let mut parts = std::pin::pin!(parts);
    let mut bytes = Vec::new();
    let mut bytes_read = 0;
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| unreadable(&error))?;
        bytes_read += part.len();
        if bytes_read > IGNORED_BYTES_MAX {
            break;
        }
        if bytes_read <= BODY_BYTES_MAX {
            // Grown by doubling, it could take more memory than was reserved for it.
            let missing = (bytes_read * 2).min(bytes_max).saturating_sub(bytes.len());
            if bytes.capacity() < bytes_read {
                bytes.reserve_exact(missing.max(part.len()));
            }
            bytes.extend_from_slice(&part);
        } else {
            bytes = Vec::new();
        }
    }
    if bytes_read > BODY_BYTES_MAX {
        return Err(too_large());
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return too_large();
    }
    Problem::new(
        ProblemCode::UnreadableBody,
        "the body ended before its declared length, or is not in the encoding that it claims",
    )
}

fn too_large() -> Problem {
    let detail = format!("at most {BODY_BYTES_MAX} bytes in one request, as sent and as decoded");
    Problem::new(ProblemCode::TooLarge, detail)
}
