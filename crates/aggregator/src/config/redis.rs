//! Settings of Redis: which servers it has, and what goes together.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::Config;
use super::problem::Problems;

/// Schemes of a URL over TCP. The client of Redis checks the rest.
const TCP_SCHEMES: [&str; 2] = ["redis://", "valkey://"];
const TLS_SCHEMES: [&str; 2] = ["rediss://", "valkeys://"];
const UNIX_SCHEMES: [&str; 3] = ["unix://", "redis+unix://", "valkey+unix://"];

/// What the servers of Redis are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisMode {
    /// One server.
    Single,
    /// A Redis Cluster.
    Cluster,
    /// A primary with replicas, and sentinels that say which it is.
    Sentinel,
}

/// The Redis that the settings name.
#[derive(Clone, Copy, Debug)]
pub enum RedisServers<'a> {
    /// The server at this URL.
    Single(&'a SecretString),
    /// The Cluster that has the servers at these URLs.
    Cluster(&'a [SecretString]),
    /// The primary that sentinels name.
    Sentinel {
        /// Where the sentinels are.
        urls: &'a [SecretString],
        /// What they call the primary.
        master_name: &'a str,
    },
}

impl Config {
    /// The Redis that the settings name; none: a cache inside this process.
    pub fn redis(&self) -> Option<RedisServers<'_>> {
        let urls = &self.redis_urls[..];
        match self.redis_mode {
            RedisMode::Single => self.redis_url.as_ref().map(RedisServers::Single),
            _ if urls.is_empty() => None,
            RedisMode::Cluster => Some(RedisServers::Cluster(urls)),
            RedisMode::Sentinel => {
                let master_name = self.redis_sentinel_master.as_deref().unwrap_or_default();
                Some(RedisServers::Sentinel { urls, master_name })
            }
        }
    }

    /// Whether the servers are reached over TLS.
    pub fn redis_has_tls(&self) -> bool {
        self.redis_url.iter().chain(&self.redis_urls).any(|url| begins(url, &TLS_SCHEMES))
    }

    pub(super) fn check_redis(&self, problems: &mut Problems) {
        match self.redis_mode {
            RedisMode::Single => self.check_single_redis(problems),
            RedisMode::Cluster | RedisMode::Sentinel => self.check_several_redis(problems),
        }
        self.check_sentinel(problems);
        self.check_certificates(problems);
    }

    fn check_single_redis(&self, problems: &mut Problems) {
        let schemes = [&TCP_SCHEMES[..], &TLS_SCHEMES, &UNIX_SCHEMES].concat();
        if self.redis_url.as_ref().is_some_and(|url| !begins(url, &schemes)) {
            let allowed = "allowed is redis://user:password@host:6379, rediss://… over TLS, \
                           unix:///path, or nothing";
            problems.key("redis_url", allowed);
        }
        if !self.redis_urls.is_empty() {
            let hint =
                "is for redis_mode = \"cluster\" or \"sentinel\"; set redis_url, or the mode";
            problems.key("redis_urls", hint);
        }
    }

    fn check_several_redis(&self, problems: &mut Problems) {
        if self.redis_url.is_some() {
            problems.key("redis_url", "is for redis_mode = \"single\"; set redis_urls instead");
        }
        let are_all = |schemes: &[&str]| self.redis_urls.iter().all(|url| begins(url, schemes));
        if self.redis_urls.is_empty() || !(are_all(&TCP_SCHEMES) || are_all(&TLS_SCHEMES)) {
            let allowed = "allowed are redis://user:password@host:6379,redis://…, all of them or \
                           none with rediss:// over TLS, at least one";
            problems.key("redis_urls", allowed);
        }
    }

    fn check_sentinel(&self, problems: &mut Problems) {
        if self.redis_mode == RedisMode::Sentinel {
            if self.redis_sentinel_master.is_none() {
                let hint =
                    "is not set: what the sentinels call the primary (sentinel monitor NAME …)";
                problems.key("redis_sentinel_master", hint);
            }
            return;
        }
        for (key, is_set) in [
            ("redis_sentinel_master", self.redis_sentinel_master.is_some()),
            ("redis_username", self.redis_username.is_some()),
            ("redis_password", self.redis_password.is_some()),
        ] {
            if is_set {
                problems
                    .key(key, "is for redis_mode = \"sentinel\"; elsewhere the URL has the login");
            }
        }
    }

    fn check_certificates(&self, problems: &mut Problems) {
        let certificate =
            ("redis_client_certificate_file", self.redis_client_certificate_file.is_some());
        let key = ("redis_client_key_file", self.redis_client_key_file.is_some());
        problems.pair(certificate, key);
        if self.redis_has_tls() {
            return;
        }
        for (key, is_set) in [("redis_ca_file", self.redis_ca_file.is_some()), certificate, key] {
            if is_set {
                problems.key(key, "is for URLs that begin with rediss://");
            }
        }
    }
}

fn begins(url: &SecretString, schemes: &[&str]) -> bool {
    schemes.iter().any(|scheme| url.expose_secret().starts_with(scheme))
}
