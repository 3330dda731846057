//! Speed of the cache beside what it is made of: plain `GET` and `SET` by the same client, and maps inside
//! the process.
//!
//! `cargo x bench` runs it, and puts the tables and the chart into `docs/performance.md` on request. The
//! subjects of a table take turns in each round, so a busy machine slows all of them; a figure is the
//! median of the rounds, and a ratio the median of the ratios within a round. Times depend on the machine;
//! the ratios carry over.

mod chart;
mod in_process;
mod large;
mod on_redis;
#[path = "../measure/report.rs"]
mod report;
mod rounds;

use std::env;
use std::fs;

use freshset::BoxError;

use crate::chart::Chart;
use crate::report::block;

type Result<T> = std::result::Result<T, BoxError>;

/// Names the file that the chart is written to.
const CHART_FILE: &str = "FRESHSET_BENCH_CHART";

#[tokio::main]
async fn main() -> Result<()> {
    let server = on_redis::Server::start().await?;
    let mut chart = Chart::default();
    block("setting", &server.setting().await?);
    block("hits", &on_redis::hits(&server, &mut chart).await?);
    block("fills", &on_redis::fills(&server).await?);
    block("large", &large::measure(&server).await?);
    block("in-process", &in_process::hits(&mut chart).await?);
    if let Some(file) = env::var_os(CHART_FILE) {
        fs::write(file, chart.to_string())?;
    }
    Ok(())
}
