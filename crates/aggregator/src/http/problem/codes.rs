//! All codes of problems, each with its status and its sentence.
//!
//! One condition has one code, on every route. `docs/operations.md` lists them for clients, and a test
//! compares the two.

use axum::http::StatusCode;

macro_rules! problem_codes {
    ($($(#[$doc:meta])+ $Variant:ident = $code:literal, $status:ident, $sentence:literal;)+) => {
        /// What went wrong, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemCode {
            $($(#[$doc])+ $Variant,)+
        }

        impl ProblemCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $code,)+ }
            }

            /// The status that it is sent with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$Variant => StatusCode::$status,)+ }
            }

            /// What existing clients show.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$Variant => $sentence,)+ }
            }
        }
    };
}

problem_codes! {
    /// A value of the request is not allowed.
    InvalidParameter = "invalid_parameter", BAD_REQUEST, "Invalid parameter";
    /// HTTP does not allow such a request.
    MalformedRequest = "malformed_request", BAD_REQUEST, "Malformed request";
    /// The body ended early, or is not in the encoding that it claims.
    UnreadableBody = "unreadable_body", BAD_REQUEST, "Unreadable body";
    /// Key or service are missing.
    MissingAuthentication = "missing_authentication", UNAUTHORIZED, "Missing authentication";
    /// Key or service are wrong.
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, "Invalid credentials";
    /// There is no such path.
    RouteNotFound = "route_not_found", NOT_FOUND, "Not found";
    /// No batch is registered under this id.
    BatchNotFound = "batch_not_found", NOT_FOUND, "Batch not found";
    /// There is no dead letter with this id.
    DeadLetterNotFound = "dead_letter_not_found", NOT_FOUND, "Dead letter not found";
    /// The path has no such method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The client did not send the body within the time limit of the request.
    SlowBody = "slow_body", REQUEST_TIMEOUT, "Request timed out";
    /// More bytes or lines than one request may have.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "Request too large";
    /// A media type that is not read.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// A content coding that is not read.
    UnsupportedEncoding = "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE, "Unsupported content encoding";
    /// A fault of this service.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal server error";
    /// What the request needs does not answer.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Service temporarily unavailable";
    /// The request reached its time limit, whatever it waited for.
    TimedOut = "timed_out", SERVICE_UNAVAILABLE, "Service temporarily unavailable";
    /// A record was refused, and there is no room to keep it.
    DeadLettersFull = "dead_letters_full", INSUFFICIENT_STORAGE, "Dead letters at their limit";
}
