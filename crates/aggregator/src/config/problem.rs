//! Problems of the settings: all at once, and never a value, which may be a secret.

use std::fmt;

use super::ENV_PREFIX;

/// Settings that cannot be used. The text names each key and what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("settings: {0}")]
pub struct ConfigError(Problems);

impl ConfigError {
    pub(super) fn of(problems: Problems) -> Self {
        Self(problems)
    }
}

/// Problems, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    lines: Vec<String>,
}

impl Problems {
    /// Adds a source that cannot be read.
    pub(super) fn source(&mut self, text: impl Into<String>) {
        self.lines.push(text.into());
    }

    /// Adds a key with an invalid value.
    pub(super) fn key(&mut self, key: &str, text: impl fmt::Display) {
        self.lines.push(format!("{key} ({}): {text}", variable(key)));
    }

    /// Checks that a number is in the range.
    pub(super) fn range(&mut self, key: &str, value: u64, allowed: std::ops::RangeInclusive<u64>) {
        if !allowed.contains(&value) {
            let (min, max) = allowed.into_inner();
            self.key(key, format_args!("allowed are whole numbers from {min} to {max}"));
        }
    }

    /// Checks that two keys, each with whether it is set, are set together.
    pub(super) fn pair(&mut self, one: (&str, bool), other: (&str, bool)) {
        if one.1 != other.1 {
            let alone = if one.1 { one.0 } else { other.0 };
            self.key(alone, format_args!("is set alone: {} and {} go together", one.0, other.0));
        }
    }

    /// The result, unless there are problems.
    pub(super) fn or<T>(self, value: T) -> Result<T, ConfigError> {
        if self.lines.is_empty() { Ok(value) } else { Err(ConfigError(self)) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lines[..] {
            [one] => f.write_str(one),
            many => {
                write!(f, "{} things are wrong:", many.len())?;
                many.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

/// The variable of a key: `cache.namespace` is `RAS_CACHE__NAMESPACE`.
pub(super) fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}_{}", key.replace('.', "__").to_uppercase())
}
