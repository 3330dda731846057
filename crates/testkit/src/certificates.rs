//! Certificates for TLS: a CA of the test, and what it signs for the server and for clients.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

pub(crate) const CA: &str = "ca.pem";
pub(crate) const SERVER: &str = "server.pem";
pub(crate) const SERVER_KEY: &str = "server.key";
use crate::server::must;

const CLIENT: &str = "client.pem";
const CLIENT_KEY: &str = "client.key";

/// Certificates, made at random for one server or one Cluster. All are valid for centuries.
///
/// The client of its certificate is called [`Certificates::CLIENT_NAME`].
#[derive(Clone, Debug)]
pub struct Certificates {
    ca: String,
    server: Pair,
    client: Pair,
    /// Where they are files.
    directory: PathBuf,
}

#[derive(Clone, Debug)]
struct Pair {
    certificate: String,
    key: String,
}

impl Certificates {
    /// The common name in the certificate of the client, which PostgreSQL compares with the user.
    pub const CLIENT_NAME: &str = "testkit-client";
    const SERVER_NAME: &str = "testkit-server";

    /// Certificates in files of this directory.
    ///
    /// # Panics
    ///
    /// If they cannot be made or written.
    pub fn in_directory(directory: &Path) -> Self {
        must(Self::make().and_then(|certificates| certificates.write_to(directory)))
    }

    /// Not in files yet.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let ca = make_ca().context("make a certificate authority")?;
        let sign = |name| sign(&ca, name).with_context(|| format!("make a {name} certificate"));
        Ok(Self {
            server: sign(Self::SERVER_NAME)?,
            client: sign(Self::CLIENT_NAME)?,
            ca: ca.pem(),
            directory: PathBuf::new(),
        })
    }

    /// Writes the files.
    pub(crate) fn write_to(mut self, directory: &Path) -> anyhow::Result<Self> {
        self.directory = directory.to_owned();
        for (name, text) in [
            (CA, &self.ca),
            (SERVER, &self.server.certificate),
            (SERVER_KEY, &self.server.key),
            (CLIENT, &self.client.certificate),
            (CLIENT_KEY, &self.client.key),
        ] {
            fs::write(directory.join(name), text).with_context(|| format!("write {name}"))?;
        }
        Ok(self)
    }

    /// Key and certificate of the server in one text, as Kafka wants them.
    pub(crate) fn server_pem(&self) -> String {
        format!("{}{}", self.server.key, self.server.certificate)
    }

    /// The certificate of the CA, which a client must trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// The certificate of a client, signed by the CA.
    pub fn client_certificate_pem(&self) -> &str {
        &self.client.certificate
    }

    /// The private key of that client.
    pub fn client_key_pem(&self) -> &str {
        &self.client.key
    }

    /// The certificate of the server as a file.
    pub fn server_certificate_file(&self) -> PathBuf {
        self.directory.join(SERVER)
    }

    /// Its private key as a file.
    pub fn server_key_file(&self) -> PathBuf {
        self.directory.join(SERVER_KEY)
    }

    /// [`Certificates::ca_pem`] as a file, there as long as the server is.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join(CA)
    }

    /// [`Certificates::client_certificate_pem`] as a file.
    pub fn client_certificate_file(&self) -> PathBuf {
        self.directory.join(CLIENT)
    }

    /// [`Certificates::client_key_pem`] as a file.
    pub fn client_key_file(&self) -> PathBuf {
        self.directory.join(CLIENT_KEY)
    }
}

fn make_ca() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut ca = CertificateParams::new([])?;
    ca.distinguished_name = named("testkit CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(ca, KeyPair::generate()?)
}

/// For this machine, by its name or its address. The nodes of a Cluster are clients of each other, so
/// the certificate of a server is one for clients too.
fn sign(ca: &CertifiedIssuer<'_, KeyPair>, name: &str) -> Result<Pair, rcgen::Error> {
    let names = ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
    let mut certificate = CertificateParams::new(names)?;
    certificate.distinguished_name = named(name);
    certificate.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = certificate.signed_by(&key, ca)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}
