//! Whether the server will do what the cache is going to ask of it, found out beforehand.
//!
//! Every script is loaded, and every command is sent once, on keys of an owner that exists for this
//! alone and that are removed afterwards. Nothing here decides what a finding means for the program.

use std::collections::HashMap;
use std::time::Duration;

use super::{NAME, RedisBackend};
use crate::backend::{BackendError, CacheBackend, Entry};
use crate::entry;
use crate::generation::{Generation, RandomHex};
use crate::key::{EntryKey, Owner};
use crate::ttl::Lifetimes;

/// Life of what a check backends, if it cannot remove it any more.
const CHECK_TTL: Duration = Duration::from_secs(10);
/// Kind of the owners of checks; their id is drawn anew each time.
const OWNER_KIND: &str = "freshset_check";
/// Rounds of freeing after which a check has freed its two entries.
const REAP_ROUNDS_MAX: u32 = 8;

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFinding {
    /// What it is.
    pub code: CheckCode,
    /// What the server said, and what to do about it.
    pub detail: String,
}

/// What a check can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// The user may not ask for the limit.
    MemoryUnknown,
}

/// What a finding means for the cache.
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
    /// All there are.
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

    /// What it means for the cache.
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

    fn advice(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "give the user the password of the redis url and the rights of ACL_COMMANDS"
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

    fn because(self, cause: &dyn std::fmt::Display) -> CheckFinding {
        CheckFinding { code: self, detail: format!("{cause}; {}", self.advice()) }
    }
}

impl RedisBackend {
    /// Loads the scripts, sends each command once, and asks for the limit of the memory.
    ///
    /// # Cost
    ///
    /// Some twenty small commands, each with the command timeout.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the server could not be asked. A login that it refuses is a finding.
    pub async fn check(&self) -> Result<Vec<CheckFinding>, BackendError> {
        let mut findings = Vec::new();
        let rehearsed = match self.load_scripts().await {
            Ok(()) => self.rehearse().await,
            refused @ Err(BackendError::Rejected { .. }) => {
                findings.extend(finding(refused, CheckCode::NoScripting)?);
                Ok(())
            }
            other => other,
        };
        findings.extend(finding(rehearsed, CheckCode::CommandRefused)?);
        if findings.iter().all(|found| found.code != CheckCode::Unauthorized) {
            findings.extend(self.check_memory().await?);
        }
        Ok(findings)
    }

    async fn load_scripts(&self) -> Result<(), BackendError> {
        for script in self.scripts.all() {
            self.load(script).await?;
        }
        Ok(())
    }

    /// One life of an owner, in which every command of every script is called.
    async fn rehearse(&self) -> Result<(), BackendError> {
        let nonce = RandomHex::draw(&*self.options.random)?;
        let named = Owner::new(OWNER_KIND, nonce.as_str());
        let owner =
            named.map_err(|e| BackendError::Rejected { backend: NAME, source: e.into() })?;
        let [first, second] = ["a", "b"].map(EntryKey::from_stored);
        let lifetimes = Lifetimes::of_entry(CHECK_TTL);

        let generation = self.generation(&owner, &nonce, &lifetimes).await?;
        self.fill_one(&owner, &first, generation).await?;
        // One more than there may be: the script looks whether it is a replacement.
        self.fill_one(&owner, &second, generation).await?;
        self.get(&owner, &first).await?;
        self.trim(&owner).await?;
        self.invalidate(&owner, &nonce, &lifetimes).await?;
        self.generation(&owner, &nonce, &lifetimes).await?;
        for _ in 0..REAP_ROUNDS_MAX {
            if !self.collect(&owner).await?.more {
                break;
            }
        }
        self.invalidate(&owner, &nonce, &lifetimes).await?;
        Ok(())
    }

    async fn fill_one(
        &self,
        owner: &Owner,
        key: &EntryKey,
        generation: Generation,
    ) -> Result<(), BackendError> {
        let stored = entry::encode(&generation, 0, owner, key, b"check");
        let lifetimes = Lifetimes::of_entry(CHECK_TTL);
        self.fill(Entry { owner, key, generation, stored, lifetimes, entries_max: 1 }).await?;
        Ok(())
    }

    async fn check_memory(&self) -> Result<Option<CheckFinding>, BackendError> {
        let memory: String = match self.query(redis::cmd("INFO").arg("memory")).await {
            Ok(memory) => memory,
            Err(error) if error.is_outage() && !is_unauthorized(&error) => return Err(error),
            Err(error) => return Ok(Some(CheckCode::MemoryUnknown.because(&chain(&error)))),
        };
        let fields: HashMap<_, _> =
            memory.lines().filter_map(|line| line.split_once(':')).collect();
        let field = |name| fields.get(name).map(|value| value.trim());
        Ok(match (field("maxmemory"), field("maxmemory_policy")) {
            (Some("0"), _) => Some(CheckCode::NoMemoryLimit.because(&"maxmemory is 0")),
            (Some(_), Some("noeviction")) => {
                Some(CheckCode::NoEviction.because(&"maxmemory-policy is noeviction"))
            }
            (Some(_), Some(_)) => None,
            _ => Some(CheckCode::MemoryUnknown.because(&"the server does not tell")),
        })
    }
}

/// What an error of a step means, or the error itself if the server could not be asked.
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
        // The second is how scripts say it.
        BackendError::Rejected { .. }
            if lower.contains("unknown command") || lower.contains("unknown redis command") =>
        {
            CheckCode::UnknownCommand
        }
        BackendError::Rejected { .. } | BackendError::Unexpected { .. } => otherwise,
        _ => return Err(error),
    };
    // What follows repeats the arguments, a whole script among them.
    let text = text.split(", with args").next().unwrap_or_default();
    Ok(Some(code.because(&text)))
}

fn is_unauthorized(error: &BackendError) -> bool {
    matches!(error, BackendError::Unauthorized { .. })
}

/// An error and its causes, in one line.
fn chain(error: &BackendError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
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
