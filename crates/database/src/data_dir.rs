//! Data directory of the embedded mode: private to its user, locked by one process.
//!
//! It contains the internal API key and personal data of pupils, so the directory has mode 0700 and
//! its files 0600. Looser existing modes are reported, not changed: somebody may rely on them.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Modes of the directory and of its files.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The bits of a mode for group and others.
const OTHERS: u32 = 0o077;

/// A data directory that exists.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// Exclusive lock of the directory. The system releases it when the process ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// Creates the directory if it does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(DIRECTORY_MODE).create(path);
        made.with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Locks the directory. A second process on the same SQLite file would have its own cache,
    /// which this process cannot invalidate.
    ///
    /// # Errors
    ///
    /// If another process holds the lock.
    pub fn lock(&self) -> anyhow::Result<DataDirLock> {
        let path = self.path.join("lock");
        let file = open_private(&path).with_context(|| format!("make {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another process uses {}; choose another with --data-dir",
                self.path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("lock {}", path.display()))
            }
        }
    }

    /// Creates a file in the directory if it does not exist, and gives its path. SQLite creates the
    /// files beside a database with the mode of the database.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        open_private(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Files that group or others may access, with the commands that restrict them. `None`: all are
    /// private.
    pub fn loose_modes(&self) -> Option<String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let files = entries.map(|entry| (entry.path(), FILE_MODE));
        let all = std::iter::once((self.path.clone(), DIRECTORY_MODE)).chain(files);
        let loose = all.filter(|(path, _)| {
            let mode = fs::symlink_metadata(path).map(|metadata| metadata.permissions().mode());
            mode.is_ok_and(|mode| mode & OTHERS != 0)
        });
        let commands: Vec<String> =
            loose.map(|(path, mode)| format!("chmod {mode:o} '{}'", path.display())).collect();
        (!commands.is_empty())
            .then(|| format!("other users can access the data directory: {}", commands.join("; ")))
    }
}

/// Opens a file for writing; creates it with mode 0600 if it does not exist.
pub fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn directory_and_files_are_created_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("some/data");
        let data_dir = DataDir::create(&path).unwrap();
        let file = data_dir.file("file").unwrap();
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
        assert_eq!(data_dir.loose_modes(), None);
    }

    #[test]
    fn loose_modes_are_reported_with_the_command() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        fs::create_dir(&path).unwrap();
        let data_dir = DataDir::create(&path).unwrap();
        let file = data_dir.file("internal-api-key").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let said = data_dir.loose_modes().unwrap();
        for expected in
            [format!("chmod 700 '{}'", path.display()), format!("chmod 600 '{}'", file.display())]
        {
            assert!(said.contains(&expected), "{expected} in {said}");
        }
        assert_eq!(mode(&file), 0o640, "not changed");
    }

    #[test]
    fn second_lock_error_names_the_directory_and_the_option() {
        let parent = tempfile::tempdir().unwrap();
        let data_dir = DataDir::create(parent.path()).unwrap();
        let _lock = data_dir.lock().unwrap();
        let error = data_dir.lock().unwrap_err().to_string();
        assert!(error.contains("another process uses") && error.contains("--data-dir"), "{error}");
    }
}
