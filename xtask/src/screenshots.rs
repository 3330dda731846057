//! `cargo x screenshots`: pictures of the console in `docs/pictures`, by a real Chromium.
//!
//! The service is embedded, with simulated events, some of which are malformed. Times and rates differ each
//! time.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::{Process, programs};

use crate::needs;
use crate::paths;
use crate::report::Report;
use crate::shell::{cargo, run_silently};

/// Where the pictures are, from the root.
const DIRECTORY: &str = "docs/pictures";
/// How long the service may take to start, and to take the events.
const START_MAX: Duration = Duration::from_secs(60);
/// How long events flow before the pictures, so that there are rates.
const FLOW: Duration = Duration::from_secs(12);

/// A picture: its name, its page, its size, and whether it is dark.
const PICTURES: [(&str, &str, (u32, u32), bool); 5] = [
    ("console-overview", "/console", (1_200, 900), false),
    ("console-overview-dark", "/console", (1_200, 900), true),
    ("console-overview-narrow", "/console", (480, 1_000), true),
    ("console-dead-letters", "/console/dead-letters", (1_200, 900), false),
    ("console-dead-letter", "/console/dead-letters/3", (1_200, 800), false),
];

/// Makes all pictures anew.
pub(crate) fn run() -> anyhow::Result<()> {
    let report = Report::start();
    needs::ensure_chromium(&report)?;
    report.step("build the service");
    let arguments = ["build", "--quiet", "--workspace", "--all-features"];
    run_silently(cargo().args(arguments).args(["--bin", "result-aggregator"]))?;
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(make(&report))
}

async fn make(report: &Report) -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir().context("make a directory")?;
    let data_dir = data_dir.path().join("data");
    let program = paths::target().join("debug/result-aggregator");
    report.step("start the service");
    let service = Process::builder(&program)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_DATA_DIR", &data_dir)
        .try_start()
        .await?;
    let line = service.wait_for_line("listening on http", START_MAX).await;
    let base = line.rsplit(' ').next().unwrap_or_default().to_owned();
    report.step("send simulated events");
    let _events = Process::builder(&program)
        .args(["simulate", "--endless", "--rate", "400", "--malformed", "2%", "--to-server", &base])
        .env("RAS_DATA_DIR", &data_dir)
        .try_start()
        .await?;
    tokio::time::sleep(FLOW).await;
    for (name, path, size, is_dark) in PICTURES {
        let file = paths::root().join(DIRECTORY).join(name).with_extension("png");
        picture(&format!("{base}{path}"), &file, size, is_dark)?;
        report.step(format_args!("{}", file.display()));
    }
    Ok(())
}

fn picture(
    url: &str,
    file: &Path,
    (width, height): (u32, u32),
    is_dark: bool,
) -> anyhow::Result<()> {
    let mut chromium = Command::new(programs::chromium()?);
    // A page that is kept current never ends to load: the picture is of what there is after some time.
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    chromium.args(["--timeout=3000", &format!("--window-size={width},{height}")]);
    if is_dark {
        chromium.args(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]);
    }
    chromium.arg(format!("--screenshot={}", file.display())).arg(url);
    run_silently(&mut chromium)?;
    ensure!(file.is_file(), "chromium has made no {}", file.display());
    Ok(())
}
