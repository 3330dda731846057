//! `cargo x services`: the servers of a production set-up, for trials by hand.

use anyhow::Context;
use testkit::{Kafka, Postgres, Redis};

use crate::needs;
use crate::report::Report;

/// As the documents recommend.
const REDIS_ARGUMENTS: [&str; 4] = ["--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"];

/// Runs until Ctrl-C. The servers end with this process, however it ends.
pub(crate) fn run() -> anyhow::Result<()> {
    let report = Report::start();
    needs::ensure_servers(&report)?;
    report.step("start PostgreSQL, Redis and Kafka");
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(async {
        let (postgres, redis, kafka) = tokio::try_join!(
            Postgres::builder().try_start(),
            REDIS_ARGUMENTS.iter().fold(Redis::builder(), |it, next| it.argument(next)).try_start(),
            Kafka::builder().creates_topics().try_start(),
        )?;
        report.step("ready; paste this into another terminal");
        println!("{}", instructions(&postgres.url("postgres"), &redis.url(), &kafka.brokers()));
        report.step("Ctrl-C ends the servers and deletes their data");
        tokio::signal::ctrl_c().await.context("wait for Ctrl-C")?;
        report.step("stop");
        Ok(())
    })
}

fn instructions(database: &str, redis: &str, brokers: &str) -> String {
    format!(
        "\nexport RAS_DATABASE_URL={database}\nexport RAS_REDIS_URL={redis}\n\
         export RAS_KAFKA_BROKERS={brokers}\nexport RAS_INTERNAL_API_KEY=any-key-you-like\n\
         cargo run --release -- serve\n"
    )
}
