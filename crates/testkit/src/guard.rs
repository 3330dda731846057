//! A program that cannot outlive this process, even if this process is killed with SIGKILL.
//!
//! It runs under a small shell (`guard.sh`), whose standard input is a pipe that only this process
//! holds. The kernel closes the pipe however this process ends; then the shell ends the program and
//! removes its directory. The shell has a process group of its own, so that Ctrl-C in a terminal
//! reaches it only as a closed pipe.
//!
//! It does not know what a server is, or when one is ready.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::time::timeout;

/// The shell answers an order in milliseconds; a machine under load takes longer.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a program has to end after its last signal, before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long dropping a guard waits for the end of the program and the removal of its directory.
const DROP_TIMEOUT: Duration = Duration::from_secs(15);
/// A shell's exit status for a program that a signal ended is this plus the signal.
const STATUS_OF_SIGNAL: i32 = 128;

const SCRIPT: &str = include_str!("guard.sh");

/// The signals that tests send. Stop, continue and kill reach the children of the program too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Stop,
    Continue,
    Kill,
    Terminate,
    Interrupt,
    Quit,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Kill => "KILL",
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
        }
    }
}

/// A user of this machine, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

/// A program, the user that runs it, and how it ends.
pub(crate) struct Guarded<'a> {
    /// Program, arguments, environment and working directory.
    pub(crate) command: &'a Command,
    /// `None`: the user of this process.
    pub(crate) user: Option<User>,
    /// How the program is asked to end when the guard is dropped or this process is gone.
    pub(crate) last_signal: Signal,
    /// The directory to remove at the end.
    pub(crate) directory: Option<&'a Path>,
    /// Where both outputs of the program go.
    pub(crate) output: Stdio,
}

/// The shell, and its reports so far. Not bound to a runtime: a thread reads the reports.
pub(crate) struct Guard {
    shell: Child,
    orders: Mutex<Option<ChildStdin>>,
    reported: watch::Receiver<Reported>,
    shell_gone: Mutex<mpsc::Receiver<()>>,
}

#[derive(Clone, Debug, Default)]
struct Reported {
    runs: u64,
    process_id: Option<u32>,
    signals_sent: u64,
    ended: Option<ExitStatus>,
    shell_gone: bool,
}

impl Guard {
    /// Starts the shell; the program waits for [`Guard::start`].
    pub(crate) fn new(guarded: Guarded<'_>) -> anyhow::Result<Self> {
        let mut shell = shell_command(&guarded);
        shell.stderr(guarded.output);
        let mut shell = shell.spawn().context("start the guard shell `sh`")?;
        let orders = shell.stdin.take();
        let stdout = shell.stdout.take().context("the guard shell has no output")?;
        let (report, reported) = watch::channel(Reported::default());
        let (gone, shell_gone) = mpsc::channel();
        thread::spawn(move || {
            follow(stdout, &report);
            drop(gone);
        });
        Ok(Self { shell, orders: Mutex::new(orders), reported, shell_gone: Mutex::new(shell_gone) })
    }

    /// The error output of the shell, if it was asked to be a pipe.
    pub(crate) fn take_output(&mut self) -> Option<ChildStderr> {
        self.shell.stderr.take()
    }

    /// Starts the program. It must not be running.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let runs_before = self.reported.borrow().runs;
        self.order("start")?;
        self.until("start the program", |reported| reported.runs > runs_before).await
    }

    /// Sends a signal. Returns when it is sent; a program that has ended by itself is fine.
    pub(crate) async fn send(&self, signal: Signal) -> anyhow::Result<()> {
        let sent_before = self.reported.borrow().signals_sent;
        self.order(signal.name())?;
        self.until("send the signal", |reported| {
            reported.signals_sent > sent_before || reported.ended.is_some()
        })
        .await
    }

    /// Waits for the end of the current run. `None`: it still runs after `limit`.
    pub(crate) async fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let mut reported = self.reported.clone();
        let seen = timeout(limit, reported.wait_for(|reported| reported.ended.is_some())).await;
        seen.ok()?.ok()?.ended
    }

    /// How the current run ended. `None`: it has not, or there was none.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.reported.borrow().ended
    }

    /// The process id of the current run.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.reported.borrow().process_id
    }

    /// Whether a run is under way.
    pub(crate) fn is_running(&self) -> bool {
        let reported = self.reported.borrow();
        reported.runs > 0 && reported.ended.is_none()
    }

    fn order(&self, order: &str) -> anyhow::Result<()> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = orders.as_mut().context("the guard shell is gone")?;
        writeln!(pipe, "{order}").with_context(|| format!("order `{order}` of the guard shell"))
    }

    async fn until(
        &self,
        what: &str,
        mut reached: impl FnMut(&Reported) -> bool,
    ) -> anyhow::Result<()> {
        let mut reported = self.reported.clone();
        let waited = timeout(
            ORDER_TIMEOUT,
            reported.wait_for(|reported| reported.shell_gone || reached(reported)),
        );
        let shell_gone = match waited.await {
            Ok(Ok(reported)) => reported.shell_gone,
            Ok(Err(_)) => true,
            Err(_) => bail!("the guard shell did not {what} within {ORDER_TIMEOUT:?}"),
        };
        if shell_gone {
            bail!("the guard shell ended and could not {what}");
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let gone = self.shell_gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.recv_timeout(DROP_TIMEOUT) == Err(mpsc::RecvTimeoutError::Disconnected) {
            // Its output is closed, so it is at its end: this only collects its exit status.
            let _ = self.shell.wait();
        }
    }
}

fn shell_command(guarded: &Guarded<'_>) -> Command {
    let directory = guarded.directory.map_or(OsStr::new(""), Path::as_os_str);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", SCRIPT, "testkit-guard", guarded.last_signal.name()])
        .arg(END_TIMEOUT.as_secs().to_string())
        .arg(directory)
        .arg(guarded.command.get_program())
        .args(guarded.command.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
    for (name, value) in guarded.command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(directory) = guarded.command.get_current_dir() {
        shell.current_dir(directory);
    }
    if let Some(user) = guarded.user {
        shell.uid(user.id).gid(user.group);
    }
    shell
}

fn follow(stdout: ChildStdout, report: &watch::Sender<Reported>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        report.send_modify(|reported| reported.note(&line));
    }
    report.send_modify(|reported| reported.shell_gone = true);
}

impl Reported {
    fn note(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("started", process_id)) => {
                self.runs += 1;
                self.process_id = process_id.parse().ok();
                self.ended = None;
            }
            Some(("sent", _)) => self.signals_sent += 1,
            Some(("ended", status)) => self.ended = status.parse().ok().map(exit_status),
            _ => {}
        }
    }
}

fn exit_status(shell_status: i32) -> ExitStatus {
    if shell_status > STATUS_OF_SIGNAL {
        ExitStatus::from_raw(shell_status - STATUS_OF_SIGNAL)
    } else {
        ExitStatus::from_raw(shell_status << 8)
    }
}
