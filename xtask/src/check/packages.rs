//! What the service is packaged with: the image, the compose file, the manifests of Kubernetes and the unit
//! of systemd, each judged by a linter of its own. Nothing is built, and nothing is started.

use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use super::pass;
use crate::needs::Linters;
use crate::paths;
use crate::report::Report;
use crate::shell::run_silently;

const DOCKERFILE: &str = "Dockerfile";
const COMPOSE: &str = "compose.yaml";
const KUBERNETES: &str = "deploy/kubernetes";
/// The oldest and the newest version that the manifests are checked against.
const KUBERNETES_VERSIONS: [&str; 2] = ["1.29", "1.37"];
const UNIT: &str = "deploy/systemd/result-aggregator.service";
/// Where the unit expects the program, which need not be on this machine.
const INSTALLED: &str = "/usr/local/bin/result-aggregator";
/// Most exposure of the unit, of 100, as `systemd-analyze security` counts it.
const EXPOSURE_MAX: &str = "--threshold=13";

/// Runs every linter, even if one fails.
pub(super) fn check(report: &Report) -> anyhow::Result<()> {
    let linters = Linters::ensure(report)?;
    let results = [
        pass(in_root(linters.command("hadolint")).args([
            "--failure-threshold",
            "style",
            DOCKERFILE,
        ])),
        pass(in_root(linters.command("check-jsonschema")).args([
            "--builtin-schema",
            "vendor.compose-spec",
            COMPOSE,
        ])),
        kubernetes(&linters),
        systemd(),
    ];
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    for error in &failed {
        eprintln!("{error:#}");
    }
    if !failed.is_empty() {
        bail!("{} of the packages are wrong", failed.len());
    }
    Ok(())
}

/// The manifests as they are applied, against the schemas of Kubernetes.
fn kubernetes(linters: &Linters) -> anyhow::Result<()> {
    let directory = tempfile::tempdir().context("create a directory")?;
    let manifests = directory.path().join("manifests.yaml");
    let rendered =
        run_silently(in_root(linters.command("kubectl")).args(["kustomize", KUBERNETES]))?;
    fs::write(&manifests, rendered).context("write the manifests")?;
    for version in KUBERNETES_VERSIONS {
        let mut validate = linters.command("kubernetes-validate");
        validate.args(["--strict", "--quiet", "--kubernetes-version", version]);
        pass(validate.arg(&manifests))?;
    }
    Ok(())
}

/// The unit, with a program in it that every machine has.
fn systemd() -> anyhow::Result<()> {
    let directory = tempfile::tempdir().context("create a directory")?;
    let unit = directory.path().join("result-aggregator.service");
    let text = fs::read_to_string(paths::root().join(UNIT)).context(UNIT)?;
    if !text.contains(INSTALLED) {
        bail!("{UNIT} does not start {INSTALLED}");
    }
    fs::write(&unit, text.replace(INSTALLED, "/bin/true")).context("write the unit")?;
    let mut verify = Command::new("systemd-analyze");
    let said = run_silently(verify.args(["verify", "--man=no"]).arg(&unit))?;
    // A key that it does not know is a remark, and no failure.
    if said.contains("result-aggregator.service") {
        bail!("{UNIT}: {said}");
    }
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=yes", "--no-pager", EXPOSURE_MAX]).arg(&unit);
    run_silently(&mut security).map(drop)
}

fn in_root(mut command: Command) -> Command {
    command.current_dir(paths::root());
    command
}
