//! A running server for the targets that speak HTTP: embedded, in this process, with files of its own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use aggregator::app::Start;
use aggregator::config::{Config, Overrides};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The key that the server accepts.
pub const KEY: &str = "fuzzing-fuzzing-fuzzing";
/// Longer than any answer takes. One that never ends is a finding.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

struct Server {
    address: SocketAddr,
    _runtime: Runtime,
    _files: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let mut config = Config::load(Overrides::default()).expect("the defaults");
        config.listen.set_port(0);
        config.data_dir = files.path().to_owned();
        config.internal_api_key = Some(KEY.to_owned().into());
        // A request that is never completed is ended after this time, and so is the run of its input.
        config.http.head_timeout = Duration::from_secs(1);
        assert!(config.is_embedded(), "a variable names a server");
        let runtime = Runtime::new().expect("a runtime");
        let stop = CancellationToken::new();
        let app = runtime.block_on(async {
            let start = Start::new(&config).await.expect("the server starts");
            start.connect(&stop).await.expect("it connects").expect("no stop")
        });
        let address = app.address().expect("an address");
        runtime.spawn(async move { app.run(stop).await });
        Self { address, _runtime: runtime, _files: files }
    }
}

/// Sends these bytes on a connection of their own. Gives everything that is answered; the server must answer
/// or close.
/// After `quiet` without a byte the client closes its side, and may get none.
pub fn answer_to(request: &[u8], quiet: Duration) -> Vec<u8> {
    let mut connection = TcpStream::connect(SERVER.address).expect("a connection");
    // The server may close as soon as it has read enough.
    let _ = connection.write_all(request);
    let mut answer = Vec::new();
    connection.set_read_timeout(Some(quiet)).expect("a limit");
    if connection.read_to_end(&mut answer).is_err() {
        // It waits for more, or keeps the connection. Closed any earlier, it would not answer.
        let _ = connection.shutdown(Shutdown::Write);
        connection.set_read_timeout(Some(ANSWER_MAX)).expect("a limit");
        if let Err(error) = connection.read_to_end(&mut answer) {
            let is_closed = error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(is_closed, "{error} after {} bytes", answer.len());
        }
    }
    answer
}

/// The status code of the first answer, if there is one.
pub fn status(answer: &[u8]) -> Option<u16> {
    let code = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(code.get(..3)?).ok()?.parse().ok()
}
