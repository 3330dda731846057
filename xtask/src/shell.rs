//! Other programs, and how they are run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, bail};

use crate::paths;

/// The most lines of a failed program's output that are shown.
const SHOWN_LINES_MAX: usize = 40;
/// A shell's exit status for a program that a signal ended is this plus the signal.
const STATUS_OF_SIGNAL: i32 = 128;

/// Cargo, in the root of the workspace, without the variables that `cargo run` has set for this
/// program: with them, build scripts would run again.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Runs it; its output goes where ours goes.
pub(crate) fn run_shown(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command.status().with_context(|| format!("run {}", line(command)))
}

/// Runs it and returns its output; a failure shows the end of that.
pub(crate) fn run_silently(command: &mut Command) -> anyhow::Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("run {}", line(command)))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let output_text = format!("{stdout}{stderr}");
    if !output.status.success() {
        let lines: Vec<&str> = output_text.lines().collect();
        let tail = lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("\n");
        bail!("`{}` failed ({}):\n{tail}", line(command), output.status);
    }
    Ok(output_text)
}

/// The command as a user would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    [program.to_string_lossy()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The exit code of a program, to end this one with.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;

    let code = status.code().or_else(|| status.signal().map(|signal| STATUS_OF_SIGNAL + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// The first of these programs that is on `PATH`.
pub(crate) fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut candidates =
        names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.find(|candidate| candidate.is_file())
}
