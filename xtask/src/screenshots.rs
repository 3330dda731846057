//! `cargo x screenshots`: pictures of the console and the demo in `docs/pictures`, by a real Chromium.
//!
//! The service of the console is embedded, with simulated events, some of which are malformed. Times and rates differ each
//! time.

use std::fs;
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

/// Arguments of the demo whose output is shown.
const DEMO: [&str; 5] = ["demo", "--seconds", "8", "--listen", "127.0.0.1:0"];
/// How long the demo may take.
const DEMO_MAX: Duration = Duration::from_secs(120);
/// The page around its output, as a terminal shows it.
const TERMINAL: &str = "<!doctype html><meta charset=utf-8><style>\
                        body{margin:0;background:#10151c}\
                        pre{margin:24px;color:#d7dee8;font:15px/1.45 'DejaVu Sans Mono',monospace}\
                        </style><pre>";

/// Makes all pictures anew.
pub(crate) fn run() -> anyhow::Result<()> {
    let report = Report::start();
    needs::ensure_chromium(&report)?;
    report.step("build the service");
    // As the README does: the demo shows times.
    run_silently(cargo().args(["build", "--quiet", "--release", "--bin", "result-aggregator"]))?;
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(make(&report))
}

async fn make(report: &Report) -> anyhow::Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let data_dir = directory.path().join("data");
    let program = paths::target().join("release/result-aggregator");
    demo(report, &program, directory.path()).await?;
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

/// Runs the demo, and makes a picture of what it prints.
async fn demo(report: &Report, program: &Path, directory: &Path) -> anyhow::Result<()> {
    report.step("run the demo");
    let demo = Process::builder(program).args(DEMO).try_start().await?;
    ensure!(demo.wait(DEMO_MAX).await.success(), "the demo failed: {:#?}", demo.lines());
    let output = format!("$ cargo run --release -- demo\n{}", demo.lines().join("\n"));
    let output = output.replace('&', "&amp;").replace('<', "&lt;");
    let page = directory.join("demo.html");
    fs::write(&page, format!("{TERMINAL}{output}</pre>")).context("write the page of the demo")?;
    let file = paths::root().join(DIRECTORY).join("demo.png");
    picture(&format!("file://{}", page.display()), &file, (1_200, 780), true)?;
    report.step(format_args!("{}", file.display()));
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
