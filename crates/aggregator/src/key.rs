//! The embedded mode's key: made once, kept beside the data, readable by its user alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::SecretString;

use crate::hexadecimal;

/// Random bytes in a key: 192 bits.
const KEY_BYTES: usize = 24;

/// A key from the data directory.
#[derive(Debug)]
pub struct StoredKey {
    /// The key.
    pub key: SecretString,
    /// Whether it was made just now.
    pub is_new: bool,
    /// Where it is kept.
    pub path: PathBuf,
}

/// Where the key of this data directory is kept.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("internal-api-key")
}

/// Reads the key, or makes one.
///
/// # Errors
///
/// If the directory cannot be written, or there is no randomness.
pub fn read_or_make(data_dir: &Path) -> anyhow::Result<StoredKey> {
    let path = path(data_dir);
    // An empty file is what is left of a start that was cut off.
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        let key = text.trim().into();
        return Ok(StoredKey { key, is_new: false, path });
    }
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
    let key = hexadecimal::encode(&bytes);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("make {}", path.display()))?;
    writeln!(file, "{key}").with_context(|| format!("write {}", path.display()))?;
    Ok(StoredKey { key: key.into(), is_new: true, path })
}
