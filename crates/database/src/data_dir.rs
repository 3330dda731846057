//! The data directory of the embedded mode: private to its user, and of one process at a time.
//!
//! It holds the internal API key and whatever the platform knows about pupils, so the directory has
//! mode 0700 and its files 0600. What an earlier version or somebody else made looser is told, not
//! changed: someone may rely on it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Of the directory, and of its files.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Of a mode, what others than the user may do.
const OTHERS: u32 = 0o077;

/// A data directory that exists.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// Keeps other processes from the directory. It ends with the process, however that ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// Makes the directory unless it is there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn make(path: &Path) -> anyhow::Result<Self> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(DIRECTORY_MODE).create(path);
        made.with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Keeps a second process from the same SQLite file: its cache would be another one, which this
    /// process cannot invalidate.
    ///
    /// # Errors
    ///
    /// If another process has it.
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

    /// The path of a file in it, which exists afterwards. SQLite gives the files beside a database the
    /// mode of the database.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        open_private(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// A sentence about what others than its user may read or write, and the command that ends it.
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
        (!commands.is_empty()).then(|| {
            format!("others than its user can get at the data directory: {}", commands.join("; "))
        })
    }
}

/// Opens a file for writing, and makes it for its user alone if it is not there.
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
    fn directory_and_files_are_made_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("some/data");
        let data_dir = DataDir::make(&path).unwrap();
        let file = data_dir.file("file").unwrap();
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
        assert_eq!(data_dir.loose_modes(), None);
    }

    #[test]
    fn looser_modes_that_exist_are_told_with_the_command() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        fs::create_dir(&path).unwrap();
        let data_dir = DataDir::make(&path).unwrap();
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
    fn second_lock_names_the_directory_and_the_way_out() {
        let parent = tempfile::tempdir().unwrap();
        let data_dir = DataDir::make(parent.path()).unwrap();
        let _lock = data_dir.lock().unwrap();
        let error = data_dir.lock().unwrap_err().to_string();
        assert!(error.contains("another process uses") && error.contains("--data-dir"), "{error}");
    }
}
