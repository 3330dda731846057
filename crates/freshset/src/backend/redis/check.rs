//! Check of the server: whether it will run what the cache needs.
//!
//! Loads every script and sends every command once, on the keys of an owner that exists only for the
//! check and is removed afterwards. The caller decides what a finding means for the program.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use crate::backend::redis::backend::RedisBackend;
use crate::backend::redis::inspect::ServerInfo;
use crate::backend::{CacheBackend, Entry, Lookup};
use crate::entry;
use crate::error::BackendError;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::stamp::Stamped;
use crate::ttl::Lifetimes;

/// TTL of what a check stores, in case it cannot remove it.
const CHECK_TTL: Duration = Duration::from_secs(10);
/// Calls of `collect` that surely free the two entries of a check.
const COLLECT_ROUNDS_MAX: u32 = 8;

/// One result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckFinding {
    /// Kind of the finding.
    pub code: CheckCode,
    /// The server's answer, and what to do about it.
    pub detail: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckCode {
    /// The login is refused, or the user lacks a right.
    Unauthorized,
    /// The server runs no Lua scripts, or refuses these.
    NoScripting,
    /// The server does not know a command: it is older than Redis 7.0, or the command is renamed.
    UnknownCommand,
    /// The server refuses commands for a reason of its own.
    CommandRefused,
    /// The memory is full, and the server may not evict.
    OutOfMemory,
    /// The memory is limited, and the server may not evict: once full it stores nothing new.
    NoEviction,
    /// The memory has no limit.
    NoMemoryLimit,
    /// The limit of the memory cannot be read.
    MemoryUnknown,
}

/// Effect of a finding on the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Invalidations are not confirmed, so no change can be acknowledged.
    Blocking,
    /// The cache stores nothing new, or will not once the memory is full.
    Warning,
    /// Worth knowing.
    Hint,
}

impl CheckCode {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Unauthorized,
        Self::NoScripting,
        Self::UnknownCommand,
        Self::CommandRefused,
        Self::OutOfMemory,
        Self::NoEviction,
        Self::NoMemoryLimit,
        Self::MemoryUnknown,
    ];

    /// Effect on the cache.
    pub fn severity(self) -> Severity {
        match self {
            Self::Unauthorized | Self::NoScripting | Self::UnknownCommand => Severity::Blocking,
            Self::CommandRefused | Self::OutOfMemory | Self::NoEviction => Severity::Warning,
            Self::NoMemoryLimit | Self::MemoryUnknown => Severity::Hint,
        }
    }

    /// A stable name in `snake_case`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NoScripting => "no_scripting",
            Self::UnknownCommand => "unknown_command",
            Self::CommandRefused => "command_refused",
            Self::OutOfMemory => "out_of_memory",
            Self::NoEviction => "no_eviction",
            Self::NoMemoryLimit => "no_memory_limit",
            Self::MemoryUnknown => "memory_unknown",
        }
    }

    /// What to do about it. The detail of a finding ends with it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "give the user the password of the redis url and each right of the documented ACL line \
                 (freshset::backend::redis::ACL_COMMANDS)"
            }
            Self::NoScripting => "use a server that runs Lua scripts",
            Self::UnknownCommand => "use Redis 7.0 or later, without renamed commands",
            Self::CommandRefused => "invalidations wait until the server accepts writes again",
            Self::OutOfMemory => {
                "nothing new is cached; set maxmemory-policy to allkeys-lru, or raise maxmemory"
            }
            Self::NoEviction => {
                "once the memory is full nothing new is cached; set maxmemory-policy to allkeys-lru"
            }
            Self::NoMemoryLimit => "set maxmemory, and maxmemory-policy to allkeys-lru",
            Self::MemoryUnknown => "grant +info to have maxmemory and its policy checked",
        }
    }

    fn because(self, cause: &dyn Display) -> CheckFinding {
        CheckFinding { code: self, detail: format!("{cause}; {}", self.advice()) }
    }
}

impl RedisBackend {
    /// Loads the scripts, sends each command once, and reads the limit of the memory; on a Cluster on
    /// every primary. Of each kind of finding, the first.
    ///
    /// [`Severity::Blocking`] should stop the start of a program that writes: it could acknowledge no change.
    /// With the other findings, and with a server that cannot be asked, it can start: reads go past the cache
    /// as long as they must.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    ///
    /// use freshset::backend::redis::{RedisBackend, RedisOptions, Severity};
    /// use freshset::{BoxError, Cache, Namespace};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let options = RedisOptions::new(Namespace::new("shop")?);
    /// let backend = Arc::new(RedisBackend::new("redis://127.0.0.1:6379", options)?);
    /// match backend.check().await {
    ///     Ok(findings) => {
    ///         for finding in findings {
    ///             match finding.code.severity() {
    ///                 Severity::Blocking => return Err(finding.detail.into()),
    ///                 Severity::Warning | Severity::Hint => eprintln!("{}", finding.detail),
    ///             }
    ///         }
    ///     }
    ///     Err(error) => eprintln!("not checked: {error}"),
    /// }
    /// let cache = Cache::new(backend);
    /// # drop(cache);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cost
    ///
    /// Some twenty small commands to each server, each with the command timeout.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the server could not be asked. A login that it refuses is a finding.
    pub async fn check(&self) -> Result<Vec<CheckFinding>, BackendError> {
        let nodes = match self.nodes().await {
            Ok(nodes) => nodes,
            Err(error) => {
                return Ok(finding(Err(error), CheckCode::CommandRefused)?.into_iter().collect());
            }
        };
        let mut findings: Vec<CheckFinding> = Vec::new();
        for node in nodes {
            for mut found in self.check_node(&node.owner).await? {
                if findings.iter().any(|other| other.code == found.code) {
                    continue;
                }
                if let Some(address) = &node.address {
                    found.detail = format!("{address}: {}", found.detail);
                }
                findings.push(found);
            }
        }
        Ok(findings)
    }

    /// Checks the server that has this owner's keys.
    async fn check_node(&self, owner: &Owner) -> Result<Vec<CheckFinding>, BackendError> {
        let key = self.keys.generation(owner);
        let mut findings = Vec::new();
        let rehearsed = match self.load_scripts(&key).await {
            Ok(()) => self.rehearse(owner).await,
            refused @ Err(BackendError::Rejected { .. }) => {
                findings.extend(finding(refused, CheckCode::NoScripting)?);
                Ok(())
            }
            other => other,
        };
        findings.extend(finding(rehearsed, CheckCode::CommandRefused)?);
        if findings.iter().all(|found| found.code != CheckCode::Unauthorized) {
            findings.extend(self.check_memory(&key).await?);
        }
        Ok(findings)
    }

    /// Takes one owner through its whole life, so that every command of every script is sent.
    async fn rehearse(&self, owner: &Owner) -> Result<(), BackendError> {
        let random = RandomHex::draw(self.random())?;
        let limit = self.options.invalidate_timeout;
        let [first, second] = ["a", "b"].map(EntryKey::from_stored);
        let lifetimes = Lifetimes::of_entry(CHECK_TTL);

        let generation = self.generation(owner, &random, &lifetimes).await?;
        self.fill_one(owner, &first, generation).await?;
        // Beyond `entries_max`: the script checks whether it replaces an entry.
        self.fill_one(owner, &second, generation).await?;
        let owners = std::slice::from_ref(owner);
        self.get(Lookup { entry: Some((owner, &first)), owners, remaining: true }).await?;
        self.trim(owner).await?;
        self.remove(owner, &second).await?;
        self.invalidate_by_script(limit, owner, &random, &lifetimes).await?;
        self.generation(owner, &random, &lifetimes).await?;
        for _ in 0..COLLECT_ROUNDS_MAX {
            if !self.collect(owner).await?.more {
                break;
            }
        }
        self.invalidate_by_script(limit, owner, &random, &lifetimes).await?;
        Ok(())
    }

    async fn fill_one(
        &self,
        owner: &Owner,
        key: &EntryKey,
        generation: Generation,
    ) -> Result<(), BackendError> {
        let stamp = [Stamped { owner: owner.clone(), generation }];
        let stored = entry::encode(&stamp, 0, key, Some(b"check"));
        let lifetimes = Lifetimes::of_entry(CHECK_TTL);
        let (others, entries_max) = (&[][..], 1);
        self.fill(Entry { owner, key, generation, others, stored, lifetimes, entries_max }).await?;
        Ok(())
    }

    async fn check_memory(&self, key: &str) -> Result<Option<CheckFinding>, BackendError> {
        let memory: String = match self.query(redis::cmd("INFO").arg("memory"), key).await {
            Ok(memory) => memory,
            Err(error) if error.is_outage() && !is_unauthorized(&error) => return Err(error),
            Err(error) => return Ok(Some(CheckCode::MemoryUnknown.because(&chain(&error)))),
        };
        let memory = ServerInfo::parse(&memory);
        Ok(match (memory.field("maxmemory"), memory.field("maxmemory_policy")) {
            (Some("0"), _) => Some(CheckCode::NoMemoryLimit.because(&"maxmemory is 0")),
            (Some(_), Some("noeviction")) => {
                Some(CheckCode::NoEviction.because(&"maxmemory-policy is noeviction"))
            }
            (Some(_), Some(_)) => None,
            _ => Some(CheckCode::MemoryUnknown.because(&"the server does not report it")),
        })
    }
}

/// The finding of a failed step, or the error itself if the server could not be asked.
fn finding(
    step: Result<(), BackendError>,
    otherwise: CheckCode,
) -> Result<Option<CheckFinding>, BackendError> {
    let Err(error) = step else { return Ok(None) };
    let text = chain(&error);
    let lower = text.to_lowercase();
    let code = match &error {
        BackendError::Unauthorized { .. } => CheckCode::Unauthorized,
        BackendError::OutOfMemory { .. } => CheckCode::OutOfMemory,
        BackendError::Rejected { .. }
            if ["'evalsha'", "'script'"].iter().any(|command| lower.contains(command)) =>
        {
            CheckCode::NoScripting
        }
        // The second text is that of scripts.
        BackendError::Rejected { .. }
            if lower.contains("unknown command") || lower.contains("unknown redis command") =>
        {
            CheckCode::UnknownCommand
        }
        BackendError::Rejected { .. } | BackendError::Unexpected { .. } => otherwise,
        _ => return Err(error),
    };
    // The rest repeats the arguments, a whole script among them.
    let text = text.split(", with args").next().unwrap_or_default();
    Ok(Some(code.because(&text)))
}

fn is_unauthorized(error: &BackendError) -> bool {
    matches!(error, BackendError::Unauthorized { .. })
}

/// An error and its causes, in one line.
fn chain(error: &BackendError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // The client's error repeats its own cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
