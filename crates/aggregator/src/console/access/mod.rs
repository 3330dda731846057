//! Who may come in, and what they may do: logins, sessions, and the checks of every request.
//!
//! A session is a signed cookie that no process stores, so that it is valid in every replica. It is signed
//! with a key made of the token that its holder logged in with: another token ends all of its sessions.

mod guard;
mod login_limit;
mod origin;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub(super) use self::guard::{Action, Posted, require_host, require_session};
use self::login_limit::LoginLimit;
pub(super) use self::origin::require_same_origin;
use self::session::SessionKey;
pub(super) use self::session::{Role, Session};
use crate::clock::Clock;

/// Who may come in.
pub struct Access {
    mode: Mode,
    clock: Arc<dyn Clock>,
}

enum Mode {
    /// No login: everybody who reaches the loopback address is an operator.
    Local(SessionKey),
    /// With a token.
    Tokens {
        operator: SessionKey,
        viewer: Option<SessionKey>,
        session: Duration,
        limit: LoginLimit,
    },
}

/// A login that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginRefusal {
    /// It is no token of this console.
    WrongToken,
    /// There were too many; a right one is not looked at either for so long.
    TooMany(Duration),
}

/// A login that succeeded.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) session: Session,
    /// The value of `Set-Cookie`.
    pub(super) cookie: String,
}

impl Access {
    /// Access without a login, for a service that listens on a loopback address.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn local(clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Ok(Self { mode: Mode::Local(SessionKey::random()?), clock })
    }

    /// Access with a token; logins last for `session`.
    pub fn with_tokens(
        operator: &SecretString,
        viewer: Option<&SecretString>,
        session: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let operator = SessionKey::of_token(operator, Role::Operator);
        let viewer = viewer.map(|token| SessionKey::of_token(token, Role::Viewer));
        let mode = Mode::Tokens { operator, viewer, session, limit: LoginLimit::default() };
        Self { mode, clock }
    }

    /// Whether visitors log in.
    pub(super) fn has_login(&self) -> bool {
        matches!(self.mode, Mode::Tokens { .. })
    }

    /// The session that a cookie shows, if it is valid now.
    pub(super) fn session(&self, cookie: Option<&str>) -> Option<Session> {
        match &self.mode {
            Mode::Local(key) => Some(key.local_session()),
            Mode::Tokens { operator, viewer, .. } => {
                let cookie = cookie?;
                let now = self.now_seconds();
                let keys = [Some(operator), viewer.as_ref()];
                keys.into_iter().flatten().find_map(|key| key.read(cookie, now))
            }
        }
    }

    /// Checks a token.
    pub(super) fn log_in(&self, token: &str) -> Result<LoggedIn, LoginRefusal> {
        let Mode::Tokens { operator, viewer, session, limit } = &self.mode else {
            return Err(LoginRefusal::WrongToken);
        };
        let now = self.clock.monotonic();
        limit.check(now).map_err(LoginRefusal::TooMany)?;
        // Each is compared, whichever is right.
        let is_operator = operator.is_of(token);
        let is_viewer = viewer.as_ref().is_some_and(|key| key.is_of(token));
        let key = if is_operator { Some(operator) } else { viewer.as_ref().filter(|_| is_viewer) };
        let made = key.and_then(|key| key.make(self.now_seconds() + session.as_secs()));
        let Some((session, value)) = made else {
            limit.failed(now);
            return Err(LoginRefusal::WrongToken);
        };
        Ok(LoggedIn { session, cookie: session::set_cookie(&value) })
    }

    /// The value of `Set-Cookie` that ends a session in the browser.
    pub(super) fn log_out_cookie() -> &'static str {
        session::REMOVE_COOKIE
    }

    fn now_seconds(&self) -> u64 {
        u64::try_from(self.clock.now().unix_micros() / 1_000_000).unwrap_or(0)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Access").field("has_login", &self.has_login()).finish()
    }
}

#[cfg(test)]
mod tests {
    use projection::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    const OPERATOR: &str = "operator-token-000";
    const VIEWER: &str = "viewer-token-00000";

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::parse("2026-11-22T10:00:00Z").unwrap()))
    }

    fn access(operator: &str, clock: &Arc<ManualClock>) -> Access {
        let hour = Duration::from_secs(3_600);
        Access::with_tokens(&operator.into(), Some(&VIEWER.into()), hour, Arc::clone(clock) as _)
    }

    fn cookie(access: &Access, token: &str) -> String {
        let logged_in = access.log_in(token).unwrap();
        let (pair, _) = logged_in.cookie.split_once(';').unwrap();
        pair.split_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn session_has_the_role_of_its_token_until_it_expires() {
        let clock = clock();
        let access = access(OPERATOR, &clock);
        let (operator, viewer) = (cookie(&access, OPERATOR), cookie(&access, VIEWER));
        let role = |cookie: &str| access.session(Some(cookie)).map(|session| session.role());
        assert_eq!(role(&operator), Some(Role::Operator));
        assert_eq!(role(&viewer), Some(Role::Viewer));
        clock.advance(Duration::from_secs(3_599));
        assert_eq!(role(&operator), Some(Role::Operator));
        clock.advance(Duration::from_secs(1));
        assert_eq!((role(&operator), role(&viewer)), (None, None));
    }

    #[test]
    fn altered_session_and_one_of_another_token_are_refused() {
        let clock = clock();
        let access = access(OPERATOR, &clock);
        let viewer = cookie(&access, VIEWER);
        for altered in [
            viewer.replace("viewer", "operator"),
            viewer.replacen('.', ".9", 2),
            viewer[..viewer.len() - 1].to_owned(),
            format!("{viewer}0"),
            String::new(),
            "....".to_owned(),
        ] {
            assert!(access.session(Some(&altered)).is_none(), "{altered}");
        }
        assert!(access.session(None).is_none());
        let operator = cookie(&access, OPERATOR);
        let other = self::access("operator-token-001", &clock);
        assert!(other.session(Some(&operator)).is_none(), "of the token before");
        assert!(other.session(Some(&viewer)).is_some(), "the viewer's token is the same");
    }

    #[test]
    fn too_many_wrong_tokens_keep_a_right_one_out_for_a_minute() {
        let clock = clock();
        let access = access(OPERATOR, &clock);
        for _ in 0..login_limit::WRONG_TOKENS_MAX {
            assert_eq!(access.log_in("wrong").err(), Some(LoginRefusal::WrongToken));
        }
        let refused = access.log_in(OPERATOR).err();
        assert_eq!(refused, Some(LoginRefusal::TooMany(Duration::from_secs(60))));
        clock.advance(Duration::from_secs(60));
        assert!(access.log_in(OPERATOR).is_ok());
    }

    #[test]
    fn form_token_belongs_to_its_session() {
        let clock = clock();
        let access = access(OPERATOR, &clock);
        let [one, other] = [(); 2].map(|()| access.log_in(OPERATOR).unwrap().session);
        assert!(one.has_form_token(&one.form_token()));
        assert!(!one.has_form_token(&other.form_token()));
        assert!(!one.has_form_token(""));
    }
}
