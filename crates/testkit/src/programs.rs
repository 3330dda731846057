//! The programs of the servers: named by an environment variable, or found in the usual directories.
//!
//! It installs nothing. `cargo x test` does, and asks here what is missing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail};

/// Names the directory with `initdb`, `postgres`, `psql` and `pg_isready`.
pub const POSTGRES_BIN: &str = "TESTKIT_POSTGRES_BIN";
/// Names the program `redis-server` (or `valkey-server`).
pub const REDIS_SERVER: &str = "TESTKIT_REDIS_SERVER";
/// Names the program `pgbouncer`.
pub const PGBOUNCER: &str = "TESTKIT_PGBOUNCER";
/// Names the program `nats-server`.
pub const NATS_SERVER: &str = "TESTKIT_NATS_SERVER";
/// Names the program `chromium`, or another browser of its kind.
pub const CHROMIUM: &str = "TESTKIT_CHROMIUM";
/// Names the program `chromedriver` of the same version.
pub const CHROMEDRIVER: &str = "TESTKIT_CHROMEDRIVER";
/// Names the directory with the jars of an Apache Kafka broker.
pub const KAFKA_LIBS: &str = "TESTKIT_KAFKA_LIBS";
/// Names the program `java`, 17 or later.
pub const JAVA: &str = "TESTKIT_JAVA";

/// Names the program `schemathesis`.
pub const SCHEMATHESIS: &str = "TESTKIT_SCHEMATHESIS";

/// Where `cargo x test` puts `schemathesis` with its libraries, below the target directory.
pub const SCHEMATHESIS_IN_TARGET: &str = "testkit/schemathesis";
/// Where `cargo x test` puts the jars, below the target directory.
pub const KAFKA_LIBS_IN_TARGET: &str = "testkit/kafka-libs";

const REDIS_PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

const DEBIAN_PGBOUNCER: &str = "/usr/sbin/pgbouncer";
const DEBIAN_NATS_SERVER: &str = "/usr/sbin/nats-server";

/// Where Debian keeps one directory for each major version of PostgreSQL.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// The directory with the programs of PostgreSQL; the newest, if there are several.
///
/// # Errors
///
/// None found, or the variable names a directory without them.
pub fn postgres_bin() -> anyhow::Result<PathBuf> {
    let has_all = |directory: &Path| {
        ["initdb", "postgres", "psql", "pg_isready"]
            .iter()
            .all(|name| directory.join(name).is_file())
    };
    if let Some(named) = env::var_os(POSTGRES_BIN).map(PathBuf::from) {
        if !has_all(&named) {
            bail!("{POSTGRES_BIN} names {}, which has no initdb and postgres", named.display());
        }
        return Ok(named);
    }
    debian_postgres_bins()
        .into_iter()
        .chain(path_directories())
        .find(|directory| has_all(directory))
        .with_context(|| missing("PostgreSQL", POSTGRES_BIN))
}

/// The program `redis-server`, or `valkey-server`.
///
/// # Errors
///
/// None found, or the variable names no file.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    program(REDIS_SERVER, &REDIS_PROGRAMS, "Redis")
}

/// [`redis_server`], if it is built with TLS; else another `redis-server` or `valkey-server` on `PATH`
/// that is.
///
/// # Errors
///
/// None found.
pub fn redis_tls_server() -> anyhow::Result<PathBuf> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = redis_tls_server_for(&redis_server()?)?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// What [`redis_tls_server`] is where [`redis_server`] is this program.
///
/// # Errors
///
/// None found.
pub fn redis_tls_server_for(redis_server: &Path) -> anyhow::Result<PathBuf> {
    let others = REDIS_PROGRAMS.iter().filter_map(|name| on_path(&[name]));
    let mut programs = [redis_server.to_owned()].into_iter().chain(others);
    programs
        .find(|program| has_tls(program))
        .with_context(|| missing("Redis with TLS", REDIS_SERVER))
}

/// Name and version of [`redis_server`], such as `Redis 7.0.15` or `Valkey 9.1.2`.
///
/// # Errors
///
/// There is none, or it prints something else.
pub fn redis_version() -> anyhow::Result<String> {
    redis_version_of(&redis_server()?)
}

/// Name and version of this Redis server.
///
/// # Errors
///
/// It cannot be run, or prints something else.
pub fn redis_version_of(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `Redis server v=7.0.15 sha=...`
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let version = words.find_map(|word| word.strip_prefix("v="));
    let version = version.with_context(|| format!("{} says no version", program.display()))?;
    Ok(format!("{name} {version}"))
}

/// Without TLS it does not know the setting, or not what to do with it; with TLS, it misses the
/// certificate.
fn has_tls(redis_server: &Path) -> bool {
    let output = Command::new(redis_server).args(["--port", "0", "--tls-port", "1"]).output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).contains("No tls-cert-file configured")
    })
}

/// The program `redis-cli` that belongs to [`redis_server`].
///
/// # Errors
///
/// None found.
pub fn redis_cli() -> anyhow::Result<PathBuf> {
    let beside = redis_server()?.with_file_name("redis-cli");
    if beside.is_file() { Some(beside) } else { on_path(&["redis-cli", "valkey-cli"]) }
        .context("found no redis-cli; `cargo x test` installs it")
}

/// The program `pgbouncer`.
///
/// # Errors
///
/// None found, or the variable names no file.
pub fn pgbouncer() -> anyhow::Result<PathBuf> {
    root_program(DEBIAN_PGBOUNCER, PGBOUNCER, "pgbouncer", "PgBouncer")
}

/// The program `nats-server`.
///
/// # Errors
///
/// None found, or the variable names no file.
pub fn nats_server() -> anyhow::Result<PathBuf> {
    root_program(DEBIAN_NATS_SERVER, NATS_SERVER, "nats-server", "NATS")
}

/// The program `chromium`.
///
/// # Errors
///
/// None found, or the variable names no file.
pub fn chromium() -> anyhow::Result<PathBuf> {
    program(CHROMIUM, &["chromium", "chromium-browser", "google-chrome"], "Chromium")
}

/// The program `chromedriver`.
///
/// # Errors
///
/// None found, or the variable names no file.
pub fn chromedriver() -> anyhow::Result<PathBuf> {
    program(CHROMEDRIVER, &["chromedriver"], "the driver of Chromium")
}

/// The program `schemathesis`.
///
/// # Errors
///
/// None found, or the variable names no file.
pub fn schemathesis() -> anyhow::Result<PathBuf> {
    let fetched = target_directories()
        .into_iter()
        .map(|target| target.join(SCHEMATHESIS_IN_TARGET).join("bin/schemathesis"))
        .find(|program| program.is_file() && env::var_os(SCHEMATHESIS).is_none());
    fetched.map_or_else(|| program(SCHEMATHESIS, &["schemathesis"], "schemathesis"), Ok)
}

/// The program `java`.
///
/// # Errors
///
/// None found, or the variable names no file.
pub fn java() -> anyhow::Result<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    match home.filter(|java| java.is_file() && env::var_os(JAVA).is_none()) {
        Some(java) => Ok(java),
        None => program(JAVA, &["java"], "Java"),
    }
}

/// The directory with the jars of a Kafka broker.
///
/// # Errors
///
/// None found, or the variable names a directory without them.
pub fn kafka_libs() -> anyhow::Result<PathBuf> {
    if let Some(named) = env::var_os(KAFKA_LIBS).map(PathBuf::from) {
        if !has_broker_jar(&named) {
            bail!("{KAFKA_LIBS} names {}, which has no kafka_2.13 jar", named.display());
        }
        return Ok(named);
    }
    target_directories()
        .into_iter()
        .map(|target| target.join(KAFKA_LIBS_IN_TARGET))
        .find(|libs| has_broker_jar(libs))
        .with_context(|| missing("the jars of Kafka", KAFKA_LIBS))
}

/// A program that Debian keeps where only root looks.
fn root_program(debian: &str, variable: &str, name: &str, what: &str) -> anyhow::Result<PathBuf> {
    let debian = Path::new(debian);
    if env::var_os(variable).is_none() && debian.is_file() {
        return Ok(debian.to_owned());
    }
    program(variable, &[name], what)
}

fn program(variable: &str, names: &[&str], what: &str) -> anyhow::Result<PathBuf> {
    if let Some(named) = env::var_os(variable).map(PathBuf::from) {
        if !named.is_file() {
            bail!("{variable} names {}, which is not a file", named.display());
        }
        return Ok(named);
    }
    on_path(names).with_context(|| missing(what, variable))
}

fn missing(what: &str, variable: &str) -> String {
    format!("found no {what}: run `cargo x test`, which installs it, or name it in {variable}")
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let directories: Vec<PathBuf> = path_directories().collect();
    let candidates =
        names.iter().flat_map(|name| directories.iter().map(move |dir| dir.join(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

fn path_directories() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// Newest major version first.
fn debian_postgres_bins() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = Path::new(DEBIAN_POSTGRES)
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}

/// Cargo passes a test its package, not its target directory, which is in a directory above.
fn target_directories() -> Vec<PathBuf> {
    if let Some(target) = env::var_os("CARGO_TARGET_DIR") {
        return vec![PathBuf::from(target)];
    }
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.ancestors().map(|directory| directory.join("target")).collect()
}

fn has_broker_jar(libs: &Path) -> bool {
    let entries = libs.read_dir().into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("kafka_2.13-") && name.ends_with(".jar")
    })
}
