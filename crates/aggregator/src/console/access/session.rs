//! Sessions: who somebody is, in a cookie that only a holder of the token can make.

use anyhow::anyhow;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Its prefix makes browsers refuse it without `Secure`, and from any other host.
const COOKIE_NAME: &str = "__Host-ras_console";
/// Ends the session in the browser.
pub(super) const REMOVE_COOKIE: &str =
    "__Host-ras_console=; Secure; HttpOnly; SameSite=Strict; Path=/; Max-Age=0";
/// Random bytes in the id of a session.
const ID_BYTES: usize = 16;
/// Digits of the id that the log has.
const SHORT_ID_CHARS: usize = 8;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::console) enum Role {
    /// Everything.
    Operator,
    /// Read everything, change nothing.
    Viewer,
}

impl Role {
    /// Its name.
    pub(in crate::console) fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub(in crate::console) struct Session {
    role: Role,
    id: String,
    /// What a form of this session must send.
    form_token: [u8; 32],
}

impl Session {
    pub(in crate::console) fn role(&self) -> Role {
        self.role
    }

    /// The beginning of its id: enough to tell sessions apart in the log, and not enough to use one.
    pub(in crate::console) fn short_id(&self) -> &str {
        self.id.get(..SHORT_ID_CHARS).unwrap_or(&self.id)
    }

    /// The token that every form of a page of this session has.
    pub(in crate::console) fn form_token(&self) -> String {
        hex::encode(self.form_token)
    }

    /// Whether a form comes from a page of this session.
    pub(in crate::console) fn has_form_token(&self, sent: &str) -> bool {
        hex::decode(sent).is_ok_and(|sent| sent.ct_eq(&self.form_token).into())
    }
}

/// The key that signs the sessions of one token.
pub(super) struct SessionKey {
    role: Role,
    token_digest: [u8; 32],
    key: [u8; 32],
}

impl SessionKey {
    /// The key of a token: the same in every process that has it.
    pub(super) fn of_token(token: &SecretString, role: Role) -> Self {
        let token = token.expose_secret().as_bytes();
        let key = Sha256::new().chain_update(b"console session 1\0").chain_update(token).finalize();
        Self { role, token_digest: Sha256::digest(token).into(), key: key.into() }
    }

    /// A key of this process.
    pub(super) fn random() -> anyhow::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { role: Role::Operator, token_digest: [0; 32], key })
    }

    /// Whether this is its token. Digests have one length, so the time shows nothing of it.
    pub(super) fn is_of(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        digest.ct_eq(&self.token_digest).into()
    }

    /// The session of everybody, where nobody logs in.
    pub(super) fn local_session(&self) -> Session {
        self.session("local".to_owned())
    }

    /// A new session, and the value of its cookie. None: the system has no randomness.
    pub(super) fn make(&self, expires_at: u64) -> Option<(Session, String)> {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id).ok()?;
        let id = hex::encode(id);
        let signed = format!("{}.{expires_at}.{id}", self.role.as_str());
        let signature = hex::encode(self.mac("session", &signed));
        Some((self.session(id), format!("{signed}.{signature}")))
    }

    /// The session of a cookie, if this key signed it and it has not expired.
    pub(super) fn read(&self, cookie: &str, now_seconds: u64) -> Option<Session> {
        let (signed, signature) = cookie.rsplit_once('.')?;
        let signature = hex::decode(signature).ok()?;
        let is_ours: bool = signature.ct_eq(&self.mac("session", signed)).into();
        let mut parts = signed.split('.');
        let (role, expires_at, id) = (parts.next()?, parts.next()?, parts.next()?);
        let expires_at: u64 = expires_at.parse().ok()?;
        let is_valid = is_ours && role == self.role.as_str() && now_seconds < expires_at;
        is_valid.then(|| self.session(id.to_owned()))
    }

    fn session(&self, id: String) -> Session {
        Session { role: self.role, form_token: self.mac("form", &id), id }
    }

    /// `purpose` keeps a signature for one thing from being used for another.
    fn mac(&self, purpose: &str, text: &str) -> [u8; 32] {
        // A key may have any length.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        let mac = mac.chain_update(purpose).chain_update(b"\0").chain_update(text);
        mac.finalize().into_bytes().into()
    }
}

/// The value of `Set-Cookie`. It ends with the browser; the session itself has its own end.
pub(super) fn set_cookie(value: &str) -> String {
    format!("{COOKIE_NAME}={value}; Secure; HttpOnly; SameSite=Strict; Path=/")
}

/// The value of the cookie that a request has.
pub(super) fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}
