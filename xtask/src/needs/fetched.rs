//! A directory below the target directory whose content is fetched once, and again when it is
//! outdated.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::paths;

/// Such a directory, there or not.
pub(super) struct Fetched {
    directory: PathBuf,
    stamp_file: &'static str,
    stamp: Vec<u8>,
}

impl Fetched {
    /// `stamp` says what is fetched, and of which version. It is kept beside it in `stamp_file`.
    pub(super) fn new(below_target: &Path, stamp_file: &'static str, stamp: Vec<u8>) -> Self {
        Self { directory: paths::target().join(below_target), stamp_file, stamp }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether there is nothing to fetch. The stamp is made last.
    pub(super) fn is_current(&self) -> bool {
        fs::read(self.directory.join(self.stamp_file)).is_ok_and(|stamp| stamp == self.stamp)
    }

    /// Has `fetch` fill a temporary directory and renames that, so that the directory never has only a
    /// part, also if two `cargo x` fetch at the same time.
    pub(super) fn fetch(
        &self,
        fetch: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let parent = self.directory.parent().unwrap_or(&self.directory);
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        let temporary = |prefix: &str| {
            let builder = &mut tempfile::Builder::new();
            builder.prefix(prefix).tempdir_in(parent).context("create a directory to fetch into")
        };
        let fetched = temporary("new-")?;
        fetch(fetched.path())?;
        fs::write(fetched.path().join(self.stamp_file), &self.stamp).context("write the stamp")?;
        self.install(fetched.path(), temporary("old-")?.path())
    }

    /// Puts `fetched` in the place of the directory, whose old content goes to `old`. If another
    /// process was faster, what that fetched stays.
    fn install(&self, fetched: &Path, old: &Path) -> anyhow::Result<()> {
        if self.is_current() {
            return Ok(());
        }
        // A rename fails if there is nothing to replace, or if another process has just moved it.
        let _ = fs::rename(&self.directory, old.join("content"));
        match fs::rename(fetched, &self.directory) {
            Err(_) if self.is_current() => Ok(()),
            renamed => renamed.with_context(|| format!("make {}", self.directory.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fetched, fs};

    #[test]
    fn second_fetch_at_the_same_time_keeps_the_content_of_the_first() {
        let parent = tempfile::tempdir().unwrap();
        let [one, two, old, target] =
            ["one", "two", "old", "target"].map(|name| parent.path().join(name));
        for directory in [&one, &two, &old, &target] {
            fs::create_dir(directory).unwrap();
        }
        let fetched = Fetched::new(&target, "stamp", b"new".to_vec());
        for fetched in [&one, &two] {
            fs::write(fetched.join("stamp"), "new").unwrap();
            fs::write(fetched.join(fetched.file_name().unwrap()), "").unwrap();
        }
        fs::write(target.join("outdated"), "").unwrap();
        fetched.install(&one, &old).unwrap();
        assert!(fetched.is_current() && target.join("one").exists());
        assert!(!target.join("outdated").exists());
        fetched.install(&two, &old).unwrap();
        assert!(fetched.is_current() && target.join("one").exists());
    }
}
