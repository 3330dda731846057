//! The settings in force, as a person reads them: each with where it comes from, secrets masked.

use config::{Value, ValueKind};

use super::problem::variable;

type Table = config::Map<String, Value>;

/// Settings whose value is never shown.
pub(super) const SECRETS: [&str; 9] = [
    "database_url",
    "redis_url",
    "redis_urls",
    "redis_password",
    "internal_api_key",
    "internal_api_key_previous",
    "console.operator_token",
    "console.viewer_token",
    "kafka.sasl_password",
];

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Its name in a file, such as `cache.namespace`.
    pub key: String,
    /// The variable that sets it.
    pub variable: String,
    /// Its value; of a secret only whether it is set.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Source of the value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No source has it.
    Default,
    /// The file of `--config`.
    File,
    /// A variable of the environment.
    Variable,
    /// A flag of the command line.
    Flag,
}

impl Origin {
    /// Its name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Variable => "variable",
            Self::Flag => "flag",
        }
    }
}

/// Keys that each source has. Later ones win.
#[derive(Debug, Default)]
pub(super) struct Origins {
    pub(super) file: Vec<String>,
    pub(super) variables: Vec<String>,
    pub(super) flags: Vec<String>,
}

impl Origins {
    fn of(&self, key: &str) -> Origin {
        let has = |keys: &[String]| keys.iter().any(|other| other == key);
        if has(&self.flags) {
            Origin::Flag
        } else if has(&self.variables) {
            Origin::Variable
        } else if has(&self.file) {
            Origin::File
        } else {
            Origin::Default
        }
    }
}

/// Every setting of the merged sources, by key: those without a section first.
pub(super) fn settings(merged: &Table, origins: &Origins) -> Vec<EffectiveSetting> {
    let mut found: Vec<EffectiveSetting> = flat(merged)
        .into_iter()
        .map(|(key, value)| EffectiveSetting {
            variable: variable(&key),
            value: if SECRETS.contains(&&*key) { masked(&value) } else { text(&value) },
            origin: origins.of(&key),
            key,
        })
        .collect();
    found.sort_by_key(|setting| (setting.key.contains('.'), setting.key.clone()));
    found
}

/// The keys of a source.
pub(super) fn keys(table: &Table) -> Vec<String> {
    flat(table).into_iter().map(|(key, _)| key).collect()
}

fn flat(table: &Table) -> Vec<(String, Value)> {
    let entries = table.iter().flat_map(|(name, value)| match &value.kind {
        ValueKind::Table(inner) => {
            flat(inner).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect()
        }
        _ => vec![(name.clone(), value.clone())],
    });
    entries.collect()
}

fn masked(value: &Value) -> String {
    if text(value).is_empty() { "not set" } else { "set, not shown" }.to_owned()
}

fn text(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::SECRETS;

    /// A field of the settings that is a secret is masked by its name.
    #[test]
    fn every_secret_of_the_settings_is_masked() {
        let lines = [include_str!("mod.rs"), include_str!("kafka.rs")].map(str::lines);
        let fields = lines.into_iter().flatten().filter(|line| line.contains("<SecretString>"));
        let names: Vec<_> = fields
            .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
            .map(|(name, _)| name)
            .collect();
        for name in &names {
            let is_masked = |secret: &&str| secret.rsplit('.').next() == Some(name);
            assert!(SECRETS.iter().any(is_masked), "{name} is shown");
        }
        assert_eq!(names.len(), SECRETS.len(), "{names:?}");
    }
}
