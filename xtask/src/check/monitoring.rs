//! The alert rules of Prometheus, checked and tested by `promtool`. Which series they may name is compared
//! with a running service by a test of `cli`.

use std::process::Command;

use anyhow::Context;

use crate::report::Report;
use crate::shell::run_silently;
use crate::{needs, paths};

const DIRECTORY: &str = "monitoring";

pub(super) fn check(report: &Report) -> anyhow::Result<()> {
    let promtool = needs::promtool(report)?;
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let mut command = Command::new(&promtool);
        command.current_dir(paths::root().join(DIRECTORY)).args(arguments);
        run_silently(&mut command).with_context(|| format!("promtool {}", arguments.join(" ")))?;
    }
    Ok(())
}
