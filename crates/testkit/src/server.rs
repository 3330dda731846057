//! A server program: its port, its data directory, its log, and the wait until it answers. The part
//! that PostgreSQL, Redis and Kafka have in common.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{sleep, timeout};

use crate::guard::{Guard, Guarded, Signal, User};

/// Pause between two questions to a server that is starting.
const ANSWER_POLL: Duration = Duration::from_millis(20);
/// How long the end of a killed program may take. One with much memory takes longest.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of the log an error shows.
const LOG_TAIL_LINES: usize = 40;
/// Below the ports from which systems choose the client side of a connection (from 32768 on Linux).
/// A client that connects to a stopped server on such a port could be given that very port, and would
/// then be connected to itself.
const PORTS: Range<u16> = 12_000..32_000;
/// Another process can take a port between our choice and the start of the server.
const PORT_ATTEMPTS: usize = 3;

/// The ports that this process has been given.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A new directory below the system's temporary one. The caller removes it.
pub(crate) fn data_directory(name: &str, owner: Option<User>) -> anyhow::Result<PathBuf> {
    let prefix = format!("testkit-{name}-");
    let directory = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir()
        .context("create a data directory")?
        .keep();
    if let Some(owner) = owner {
        chown(&directory, Some(owner.id), Some(owner.group))
            .context("change the owner of the data directory")?;
    }
    Ok(directory)
}

/// A TCP port of 127.0.0.1 on which no program listens; never the same one twice in a process.
///
/// # Panics
///
/// If every port of the range has been given or is taken.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = PORTS.end - PORTS.start;
    let start = random_below(count);
    let port = (0..count)
        .map(|step| PORTS.start + (start + step) % count)
        .find(|port| !given.contains(port) && is_free(*port));
    let Some(port) = port else { panic!("no free port in {PORTS:?}") };
    given.insert(port);
    port
}

/// Random, so that test processes that run at the same time do not try the same ports in turn.
fn random_below(limit: u16) -> u16 {
    (RandomState::new().hash_one(0_u8) % u64::from(limit)) as u16
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Tries `start` again if a port that was free a moment ago has been taken meanwhile.
pub(crate) async fn on_free_ports<T>(
    mut start: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut attempts = 1;
    loop {
        match start().await {
            Err(error) if attempts < PORT_ATTEMPTS && says_port_taken(&error) => attempts += 1,
            done => return done,
        }
    }
}

/// The result, or a panic. For methods after whose failure a test cannot continue.
pub(crate) fn must<T>(result: anyhow::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:#}"),
    }
}

/// One server program in its own directory.
pub(crate) struct Server {
    name: &'static str,
    directory: PathBuf,
    command_line: String,
    guard: Guard,
}

impl Server {
    /// Starts nothing yet. From here on, `directory` is removed at the end.
    pub(crate) fn new(
        name: &'static str,
        directory: PathBuf,
        mut command: Command,
        owner: Option<User>,
        last_signal: Signal,
    ) -> anyhow::Result<Self> {
        command.current_dir(&directory);
        let log = File::create(directory.join("log")).context("create the log of the server")?;
        let guard = Guard::new(Guarded {
            command: &command,
            user: owner,
            last_signal,
            directory: Some(&directory),
            output: Stdio::from(log),
        })?;
        Ok(Self { name, directory, command_line: format!("{command:?}"), guard })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn is_running(&self) -> bool {
        self.guard.is_running()
    }

    /// Starts the program and waits until `answers`.
    pub(crate) async fn start(
        &self,
        limit: Duration,
        answers: impl AsyncFn() -> bool,
    ) -> anyhow::Result<()> {
        self.guard.start().await?;
        let answered = timeout(limit, async {
            while !answers().await && self.guard.is_running() {
                sleep(ANSWER_POLL).await;
            }
        });
        let in_time = answered.await.is_ok();
        if let Some(ended) = self.guard.ended() {
            bail!("{} ended ({ended}) before it answered\n{}", self.name, self.evidence());
        }
        if !in_time {
            let evidence = self.evidence();
            self.kill().await?;
            bail!("{} did not answer within {limit:?}\n{evidence}", self.name);
        }
        Ok(())
    }

    pub(crate) async fn pause(&self) -> anyhow::Result<()> {
        self.guard.send(Signal::Stop).await.with_context(|| format!("pause {}", self.name))
    }

    pub(crate) async fn resume(&self) -> anyhow::Result<()> {
        self.guard.send(Signal::Continue).await.with_context(|| format!("resume {}", self.name))
    }

    /// Ends it with SIGKILL, also if it is paused. Does nothing if it does not run.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        self.end(Signal::Kill, KILL_TIMEOUT).await
    }

    /// Sends `signal` and waits for the end.
    pub(crate) async fn end(&self, signal: Signal, limit: Duration) -> anyhow::Result<()> {
        if !self.guard.is_running() {
            return Ok(());
        }
        self.guard.send(signal).await.with_context(|| format!("end {}", self.name))?;
        if self.guard.wait(limit).await.is_none() {
            bail!("{} still runs {limit:?} after {signal:?}\n{}", self.name, self.evidence());
        }
        Ok(())
    }

    /// The command and the end of the log, for errors.
    fn evidence(&self) -> String {
        let log = read_lossy(&self.directory.join("log"));
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        format!("command: {}\nend of its log:\n{tail}", self.command_line)
    }
}

/// Runs a program to its end and returns what it printed. For tools, not for servers.
pub(crate) async fn run_tool(command: Command, limit: Duration) -> anyhow::Result<String> {
    let command_line = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(Stdio::null());
    let output = timeout(limit, command.output())
        .await
        .with_context(|| format!("{command_line} did not end within {limit:?}"))?
        .with_context(|| format!("run {command_line}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command_line} failed ({})\n{stdout}\n{stderr}", output.status);
    }
    Ok(stdout)
}

/// Writes a configuration file, readable by the owner of the directory too.
pub(crate) fn write_file(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    fs::write(directory.join(name), text).with_context(|| format!("write {name}"))
}

fn says_port_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    text.contains("address already in use") || text.contains("address in use")
}

fn read_lossy(path: &Path) -> String {
    let mut bytes = Vec::new();
    // A log that cannot be read is shown as empty: the error it belongs to is what matters.
    let _ = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
