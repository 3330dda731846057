//! Key of the embedded mode: made once, stored beside the data, readable by its user only.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use secrecy::SecretString;

/// Random bytes in a key: 192 bits.
const KEY_BYTES: usize = 24;

/// Shortest and longest key, in characters.
const KEY_CHARS_MIN: usize = 16;
const KEY_CHARS_MAX: usize = 512;
/// The allowed keys, in words. Spaces and line ends come from a file or a shell, and are not allowed in a
/// header.
pub const ALLOWED: &str = "allowed are 16 to 512 visible ASCII characters, without spaces; \
                           `openssl rand -hex 24` makes a good one";

/// Whether the key is allowed.
pub fn is_acceptable(key: &str) -> bool {
    (KEY_CHARS_MIN..=KEY_CHARS_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A key from the data directory.
#[derive(Debug)]
pub struct StoredKey {
    /// The key.
    pub key: SecretString,
    /// Whether this call made it.
    pub is_new: bool,
    /// Its file.
    pub path: PathBuf,
}

/// File of the key in this data directory.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("internal-api-key")
}

/// Reads the key, or makes one.
///
/// # Errors
///
/// If the directory cannot be written, or the system has no randomness.
pub fn read_or_make(data_dir: &Path) -> anyhow::Result<StoredKey> {
    let path = path(data_dir);
    // An interrupted start leaves an empty file.
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        let key = text.trim();
        ensure!(
            is_acceptable(key),
            "{}: {ALLOWED}; remove the file to have one made",
            path.display()
        );
        let key = key.into();
        return Ok(StoredKey { key, is_new: false, path });
    }
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
    let key = hex::encode(bytes);
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
