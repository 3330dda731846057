//! TLS of the listener: the certificate, which is read again while the server runs, and the handshake.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use projection::Timestamp;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stall::WriteStall;
use crate::clock::Clock;
use crate::config::CertificateFiles;
use crate::error_chain::error_chain;
use crate::health::{Component, Finding, Health};

/// How often the files of the certificate are read again.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(10);
/// Code of the finding.
pub(crate) const NOT_READ: &str = "certificate_not_read";
/// First byte of what a client sends that begins TLS: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// The answer to a request without TLS. Its client understands no other.
const PLAIN_REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    connection: close\r\ncontent-length: 50\r\n\r\nthis server listens with TLS: begin with https://\n";

/// TLS of the listener. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    files: CertificateFiles,
    current: Arc<RwLock<Current>>,
}

struct Current {
    certificate: Certificate,
    acceptor: TlsAcceptor,
}

/// What the files have.
#[derive(PartialEq, Eq)]
struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why there is no certificate to listen with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file of the certificate cannot be read, or has none.
    #[error("http.tls_certificate_file, {}, has no certificate in PEM that can be read", .file.display())]
    Chain {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: pem::Error,
    },
    /// The file of the key cannot be read, or has none.
    #[error(
        "http.tls_key_file, {}, has no private key in PEM, without a password, that can be read",
        .file.display()
    )]
    Key {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: pem::Error,
    },
    /// They do not go together, or are of a kind that TLS does not use.
    #[error("http.tls_certificate_file and http.tls_key_file cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// What became of a new connection.
pub(super) enum Accepted {
    /// The handshake is done.
    Tls(Box<TlsStream<WriteStall<TcpStream>>>),
    /// The client began without TLS, and has its answer.
    Plain(WriteStall<TcpStream>),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or used together.
    pub fn new(files: CertificateFiles) -> Result<Self, CertificateError> {
        let certificate = Certificate::read(&files)?;
        let acceptor = certificate.acceptor()?;
        Ok(Self { files, current: Arc::new(RwLock::new(Current { certificate, acceptor })) })
    }

    /// Reads the files again and again. What they have is used from the next connection on. While it cannot be
    /// used, there is a finding, and the certificate before it is used.
    pub async fn watch_files(self, clock: Arc<dyn Clock>, health: Health) {
        loop {
            sleep(READ_AGAIN_EVERY).await;
            let tls = self.clone();
            // An error: the runtime is ending.
            let Ok(read) = spawn_blocking(move || tls.read_again()).await else { return };
            match read {
                Ok(is_new) => {
                    let was_reported = health.clear(Component::Http, NOT_READ);
                    if is_new {
                        tracing::info!("using a new certificate for TLS");
                    } else if was_reported {
                        tracing::info!("the files of the certificate can be read again");
                    }
                }
                Err(error) => report(&error, clock.now(), &health),
            }
        }
    }

    /// Whether the files have another certificate or key, which is used from now on.
    fn read_again(&self) -> Result<bool, CertificateError> {
        let certificate = Certificate::read(&self.files)?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).certificate == certificate {
            return Ok(false);
        }
        let acceptor = certificate.acceptor()?;
        let current = Current { certificate, acceptor };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(true)
    }

    /// Shakes hands with the client of a new connection. One that speaks HTTP without TLS gets an answer.
    pub(super) async fn accept(&self, mut stream: WriteStall<TcpStream>) -> io::Result<Accepted> {
        let mut first = [0];
        if stream.get_ref().peek(&mut first).await? > 0 && first != [HANDSHAKE] {
            stream.write_all(PLAIN_REFUSED).await?;
            return Ok(Accepted::Plain(stream));
        }
        let acceptor = self.acceptor();
        acceptor.accept(stream).await.map(|stream| Accepted::Tls(Box::new(stream)))
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }
}

impl Certificate {
    fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_file_iter(&files.chain).and_then(Iterator::collect);
        let chain = chain.and_then(|chain: Vec<_>| {
            if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) }
        });
        let file = || files.chain.clone();
        let chain = chain.map_err(|error| CertificateError::Chain { file: file(), error })?;
        let file = || files.key.clone();
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| CertificateError::Key { file: file(), error })?;
        Ok(Self { chain, key })
    }

    fn acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn report(error: &CertificateError, now: Timestamp, health: &Health) {
    let detail = format!(
        "{}. The certificate before is used until it expires. Mend the files; they are read again every {} s",
        error_chain(error),
        READ_AGAIN_EVERY.as_secs()
    );
    if health.report(Finding::new(Component::Http, NOT_READ, detail.clone(), now)) {
        tracing::warn!("{detail}");
    }
}
