//! Measures the figures of `docs/active-invalidation.md`, on a Redis that it starts itself.
//!
//! `cargo x measure` runs it, and puts its tables into the document on request. Tables go to standard
//! output, each between two marker lines; progress goes to standard error.
//!
//! It fails only if it cannot measure. Times depend on the machine and the run; their ratios carry over
//! to other machines. The last column of the tables about stale answers must be 0 everywhere.

mod crash;
mod cut;
mod dice;
mod invalidations;
mod load;
mod naive;
mod pause;
mod report;
mod seams;
mod server;
mod subjects;
mod traces;

use freshset::BoxError;

use crate::report::block;
use crate::server::Server;

type Result<T> = std::result::Result<T, BoxError>;

fn main() -> Result<()> {
    if let Some(fill) = crash::FillUntilKilled::from_arguments() {
        return fill.run();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let server = Server::start().await?;
    block("setting", &setting(&server).await?);

    let invalidations = invalidations::measure(&server).await?;
    block("keyspace", &invalidations.table());
    block("ratios", &invalidations.ratios());
    block("pause", &pause::measure(&server).await?);
    block("crash", &crash::measure(&server).await?);
    block("cut", &cut::measure(&server).await?);
    block("traces", &traces::measure(&server).await?);
    block("load", &load::measure(&server).await?);
    block("seams", &seams::measure().await?);
    Ok(())
}

async fn setting(server: &Server) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let version = server.version().await?;
    Ok(format!(
        "Measured on Redis {version}, without persistence, on the same machine as its clients, with \
         {cores} cores for all of them."
    ))
}
