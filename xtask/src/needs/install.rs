//! Packages: installed where that is permitted, otherwise named for the user to install.

use std::process::Command;

use anyhow::{Context, bail};

use super::Need;
use crate::report::Report;
use crate::shell::{on_path, run_silently};

/// Installs the packages that are its arguments, without starting the services in them: the tests
/// start their own servers. For that it adds a `policy-rc.d`, unless there is one.
const APT_SCRIPT: &str = "\
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e \"$policy\" ]; then
  trap 'rm -f \"$policy\"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >\"$policy\"
  chmod +x \"$policy\"
fi
export DEBIAN_FRONTEND=noninteractive
options='-qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0'
# A source that does not answer may not be needed: the next line decides.
apt-get $options update || true
apt-get $options install --yes --no-install-recommends \"$@\"
";

/// Installs what these needs name.
pub(super) fn packages(report: &Report, missing: &[&Need]) -> anyhow::Result<()> {
    let Some(mut apt) = apt() else {
        bail!("this machine lacks what the tests need\n{}", by_hand(missing));
    };
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.debian).copied().collect();
    report.step(format_args!("install {} (takes a minute or two)", packages.join(" ")));
    run_silently(apt.args(&packages))
        .with_context(|| format!("install what the tests need\n{}", by_hand(missing)))?;
    Ok(())
}

/// The commands for the user instead.
pub(super) fn by_hand(missing: &[&Need]) -> String {
    let what: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let debian: Vec<&str> = missing.iter().flat_map(|need| need.debian).copied().collect();
    let fedora: Vec<&str> = missing.iter().flat_map(|need| need.fedora).copied().collect();
    let macos: Vec<&str> = missing.iter().map(|need| need.macos).collect();
    format!(
        "needed: {}\n  \
         Debian, Ubuntu: sudo apt-get install {}\n  \
         Fedora:         sudo dnf install {}\n  \
         macOS:          {}\n\
         then run `cargo x test` again",
        what.join("; "),
        debian.join(" "),
        fedora.join(" "),
        macos.join("; ")
    )
}

/// `apt-get` with the right to install, without the packages.
fn apt() -> Option<Command> {
    on_path(&["apt-get"])?;
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("sh")
    } else {
        run_silently(Command::new("sudo").args(["-n", "true"])).ok()?;
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    };
    command.args(["-c", APT_SCRIPT, "install"]);
    Some(command)
}
