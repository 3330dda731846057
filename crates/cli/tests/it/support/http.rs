//! The HTTP client of the tests: that of the commands.

use std::time::Duration;

use cli::client::http::{Trust, builder};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A client of servers without TLS.
pub(crate) fn http_client() -> reqwest::Client {
    http_client_that_trusts("http://localhost", &Trust::default())
}

/// A client of this server.
pub(crate) fn http_client_that_trusts(server: &str, trust: &Trust) -> reqwest::Client {
    let client = builder(server, trust).expect("a URL and a CA");
    client.timeout(ANSWER_MAX).build().expect("a client")
}
