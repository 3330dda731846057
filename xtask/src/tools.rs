//! Cargo subcommands of `cargo x check`, at pinned versions, in the target directory.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::paths;
use crate::report::Report;
use crate::shell::{cargo, run_silently};

/// A program from the Rust registry.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
pub(crate) const CARGO_MACHETE: Tool = Tool { name: "cargo-machete", version: "0.9.2" };

impl Tool {
    /// The path of the program; builds it if it is missing or of another version.
    pub(crate) fn ensure(&self, report: &Report) -> anyhow::Result<PathBuf> {
        let directory = paths::target().join("tools");
        let program = directory.join("bin").join(self.name);
        if !self.is_current(&program) {
            let Self { name, version } = self;
            report.step(format_args!("build {name} {version}, once; this takes some minutes"));
            let mut install = cargo();
            // Unoptimized: it runs for seconds, and would be compiled for minutes.
            install.args(["install", "--quiet", "--debug", "--locked", "--force", "--root"]);
            install.arg(&directory).env("CARGO_PROFILE_DEV_DEBUG", "false");
            install.args(["--version", &format!("={version}"), name]);
            run_silently(&mut install).with_context(|| format!("install {name}"))?;
        }
        Ok(program)
    }

    fn is_current(&self, program: &PathBuf) -> bool {
        program.is_file()
            && run_silently(Command::new(program).arg("--version"))
                .is_ok_and(|output| output.split_whitespace().any(|word| word == self.version))
    }
}
