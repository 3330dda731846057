//! Compression of answers: gzip and zstd, as `Accept-Encoding` asks.
//!
//! A client that forbids every coding, the plain form too, is answered 406 (RFC 9110, section 12.5.3).

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _, SizeAbove};

/// Smaller bodies are sent as they are: they fit one packet, and compressing saves nothing.
pub const COMPRESSED_BODY_BYTES_MIN: u64 = 1_024;

/// Compresses at the fastest level: each answer is compressed anew, and JSON that repeats its field
/// names shrinks to a tenth even so.
pub(super) fn layer()
-> CompressionLayer<impl tower_http::compression::predicate::Predicate + Send + Sync> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_BODY_BYTES_MIN).and(DefaultPredicate::new()))
}
