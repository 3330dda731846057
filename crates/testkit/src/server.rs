//! What PostgreSQL, Redis and Kafka have in common here: a data directory, a log, a guarded
//! program, and the wait until it answers.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{sleep, timeout};

use crate::guard::{Guard, Guarded, Signal, User};

/// Pause between two questions to a server that is starting.
const ANSWER_POLL: Duration = Duration::from_millis(20);
/// How long a killed program takes to be gone at most. A large heap takes longest.
const KILL_LIMIT: Duration = Duration::from_secs(30);
/// How much of the log an error shows.
const LOG_TAIL_LINES: usize = 40;
/// Another process can take a port between our choice and the start of the server.
const PORT_ATTEMPTS: usize = 3;

/// A new directory below the system's temporary one. Whoever creates it sees to its removal.
pub(crate) fn data_directory(name: &str, owner: Option<User>) -> anyhow::Result<PathBuf> {
    let prefix = format!("testkit-{name}-");
    let directory = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir()
        .context("create a data directory")?
        .keep();
    if let Some(owner) = owner {
        chown(&directory, Some(owner.id), Some(owner.group)).context("give the data directory")?;
    }
    Ok(directory)
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

/// The result, or the end of the test. For methods whose failure leaves a test nothing to do.
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
        self.end(Signal::Kill, KILL_LIMIT).await
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
