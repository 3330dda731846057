//! A program under test, such as the service, and its output line by line. Both outputs of the program
//! are read as one.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::guard::{Guard, Guarded, Signal};
use crate::server::must;

/// How long the end of a killed program may take.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last lines of a program that has ended may take to be read.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much output a panic shows.
const SHOWN_LINES_MAX: usize = 60;
/// The first character of the line that the guard writes after the end of the program.
const END_OF_OUTPUT: char = '\u{1e}';

/// A running program. Killed when this is dropped or this process ends.
pub struct Process {
    guard: Guard,
    output: watch::Receiver<Output>,
    command_line: String,
}

/// A program that is going to be started.
#[derive(Debug)]
pub struct ProcessBuilder {
    command: Command,
}

#[derive(Debug, Default)]
struct Output {
    lines: Vec<String>,
    complete: bool,
}

impl Process {
    /// To run a program, given by path or by a name on `PATH`.
    pub fn builder(program: impl AsRef<OsStr>) -> ProcessBuilder {
        ProcessBuilder { command: Command::new(program) }
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// Never: a process has one as soon as it is started.
    pub fn id(&self) -> u32 {
        must(self.guard.process_id().context("the process was not started"))
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        self.guard.is_running()
    }

    /// What it has printed so far, to either output.
    pub fn lines(&self) -> Vec<String> {
        self.output.borrow().lines.clone()
    }

    /// The first line that contains `part`: one that was printed before, or the next one to come.
    ///
    /// # Panics
    ///
    /// After `limit`, or when the program ends before; with what it printed instead.
    pub async fn wait_for_line(&self, part: &str, limit: Duration) -> String {
        let found = |output: &Output| output.lines.iter().find(|line| line.contains(part)).cloned();
        let mut output = self.output.clone();
        let reached = output.wait_for(|output| output.complete || found(output).is_some());
        let in_time = timeout(limit, reached).await.is_ok();
        if let Some(line) = found(&self.output.borrow()) {
            return line;
        }
        let why = if in_time { "it ended".to_owned() } else { format!("not within {limit:?}") };
        panic!("no line with `{part}`: {why}\n{}", self.evidence());
    }

    /// Waits until exactly this many lines contain `part`. The line of an event may come after other signs
    /// of it, so a number that was read once says nothing.
    ///
    /// # Panics
    ///
    /// After `limit`, or when the program ends before; with what it printed instead.
    pub async fn wait_for_lines(&self, part: &str, expected: usize, limit: Duration) {
        let count = |output: &Output| output.lines.iter().filter(|it| it.contains(part)).count();
        let mut output = self.output.clone();
        let reached = output.wait_for(|output| output.complete || count(output) == expected);
        let _ = timeout(limit, reached).await;
        let found = count(&self.output.borrow());
        assert_eq!(found, expected, "lines with `{part}`\n{}", self.evidence());
    }

    /// Waits for its end; then [`Process::lines`] is complete. A program that a signal ended shows
    /// the signal, and so does one that exits with more than 128, as in a shell.
    ///
    /// # Panics
    ///
    /// If it still runs after `limit`.
    pub async fn wait(&self, limit: Duration) -> ExitStatus {
        let Some(ended) = self.guard.wait(limit).await else {
            panic!("it still runs after {limit:?}\n{}", self.evidence());
        };
        let mut output = self.output.clone();
        let read = output.wait_for(|output| output.complete);
        if timeout(OUTPUT_TIMEOUT, read).await.is_err() {
            panic!("its output is not complete {OUTPUT_TIMEOUT:?} after its end");
        }
        ended
    }

    /// Ends it with SIGKILL, also if it is paused; it is gone when this returns.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn kill(&self) {
        must(self.guard.send(Signal::Kill).await);
        self.wait(KILL_TIMEOUT).await;
    }

    /// Asks it to end with SIGTERM. [`Process::wait`] returns when it has.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn terminate(&self) {
        must(self.guard.send(Signal::Terminate).await);
    }

    /// Sends SIGINT, as Ctrl-C does. A program that has no handler for it ignores it here, as
    /// shells start background programs. [`Process::wait`] returns when it has ended.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn interrupt(&self) {
        must(self.guard.send(Signal::Interrupt).await);
    }

    /// Stops it with SIGSTOP.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn pause(&self) {
        must(self.guard.send(Signal::Stop).await);
    }

    /// Continues it after [`Process::pause`].
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn resume(&self) {
        must(self.guard.send(Signal::Continue).await);
    }

    fn evidence(&self) -> String {
        let lines = self.lines();
        let tail = lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("\n");
        format!("command: {}\nend of its output:\n{tail}", self.command_line)
    }
}

impl ProcessBuilder {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment, which is otherwise that of this process.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable from its environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets its working directory, which is otherwise that of this process.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Starts it. A program that cannot be run ends at once with status 127 or 126.
    ///
    /// # Panics
    ///
    /// If the shell that guards it cannot be run.
    pub async fn start(self) -> Process {
        must(self.try_start().await)
    }

    /// Starts it. A program that cannot be run ends at once with status 127 or 126.
    ///
    /// # Errors
    ///
    /// The shell that guards it cannot be run.
    pub async fn try_start(self) -> anyhow::Result<Process> {
        let mut guard = Guard::new(Guarded {
            command: &self.command,
            user: None,
            last_signal: Signal::Kill,
            directory: None,
            output: Stdio::piped(),
        })?;
        let pipe = guard.take_output().context("the guard shell has no error output")?;
        let (collect, output) = watch::channel(Output::default());
        thread::spawn(move || read_lines(pipe, &collect));
        guard.start().await?;
        Ok(Process { guard, output, command_line: format!("{:?}", self.command) })
    }
}

fn read_lines(pipe: ChildStderr, collect: &watch::Sender<Output>) {
    let mut pipe = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while pipe.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        collect.send_modify(|output| output.add(text));
        bytes.clear();
    }
    collect.send_modify(|output| output.complete = true);
}

impl Output {
    /// The mark of the end may follow a last line that was not ended.
    fn add(&mut self, text: &str) {
        let (line, ended) = match text.split_once(END_OF_OUTPUT) {
            Some((line, _)) => (line, true),
            None => (text, false),
        };
        if !ended || !line.is_empty() {
            self.lines.push(line.to_owned());
        }
        self.complete |= ended;
    }
}
