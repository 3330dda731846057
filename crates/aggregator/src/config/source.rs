//! Reads the sources into one tree, and the tree into [`Config`].
//!
//! The errors of the parser and of serde quote the file or the value, which may be a secret. None of
//! them is passed on as it is: the error names the place, the key, and what is allowed.

use std::num::ParseIntError;

use config::{Environment, File, FileFormat, Value, ValueKind};
use serde::Deserialize as _;

use super::effective::{self, Origins};
use super::problem::{ConfigError, Problems, variable};
use super::values::ALLOWED_IS;
use super::{Config, DEFAULTS, ENV_PREFIX, Overrides, path_text};

type Table = config::Map<String, Value>;

/// How similar a word must be to a key to be suggested, from 0 to 1.
const NEAR_MISS: f64 = 0.8;
/// How the message of a syntax error begins. The rest quotes the file.
const SYNTAX_ERROR: &str = "TOML parse error at ";

/// All settings, and the problems of their form. An invalid value is replaced by its default, so that the
/// rest can be checked too.
pub(super) fn read(overrides: Overrides, problems: &mut Problems) -> Result<Config, ConfigError> {
    let file = overrides.file.as_deref().map(path_text).unwrap_or_default();
    let (merged, origins) = merge(overrides).map_err(|error| unreadable(&error, &file))?;
    let defaults = defaults().map_err(|error| unreadable(&error, &file))?;
    let mut tree = merged;
    refuse_unknown_keys(&mut tree, &defaults, "", problems);
    loop {
        let error = match Config::deserialize(Value::new(None, tree.clone())) {
            Ok(config) => {
                return Ok(Config { effective: effective::settings(&tree, &origins), ..config });
            }
            Err(error) => error,
        };
        let key = key_of(&error).unwrap_or_default();
        problems.key(&key, format_args!("{ALLOWED_IS}{}", allowed_by(&error)));
        if !restore(&mut tree, &defaults, &key) {
            return Err(std::mem::take(problems)
                .or(())
                .err()
                .unwrap_or_else(|| unreadable(&error, &file)));
        }
    }
}

/// The settings of all sources, and which source has which.
fn merge(overrides: Overrides) -> Result<(Table, Origins), config::ConfigError> {
    let mut origins = Origins::default();
    let mut sources =
        config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(file) = &overrides.file {
        // Not `config::File` of a path: it does not read pipes, and reports no cause.
        let text = std::fs::read_to_string(file).map_err(|error| {
            config::ConfigError::Foreign(format!("read {}: {error}", file.display()).into())
        })?;
        let file = File::from_str(&text, FileFormat::Toml);
        origins.file = effective::keys(&table_of(file.clone())?);
        sources = sources.add_source(file);
    }
    if overrides.without_redis {
        for (key, default) in defaults()?.into_iter().filter(|(key, _)| key.starts_with("redis_")) {
            origins.flags.push(key.clone());
            sources = sources.set_override(key, default)?;
        }
    }
    let variables = Environment::with_prefix(ENV_PREFIX).prefix_separator("_").separator("__");
    origins.variables = effective::keys(&table_of(variables.clone())?);
    sources = sources.add_source(variables);
    for (key, flag) in [
        ("listen", overrides.listen.map(|address| address.to_string())),
        ("data_dir", overrides.data_dir.as_deref().map(path_text)),
        ("database_url", overrides.database_url),
        ("redis_url", overrides.redis_url),
        ("kafka_brokers", overrides.kafka_brokers),
    ] {
        let Some(value) = flag else { continue };
        origins.flags.push(key.to_owned());
        sources = sources.set_override(key, value)?;
    }
    Ok((sources.build()?.cache.into_table()?, origins))
}

fn table_of(
    source: impl config::Source + Send + Sync + 'static,
) -> Result<Table, config::ConfigError> {
    config::Config::builder().add_source(source).build()?.cache.into_table()
}

fn defaults() -> Result<Table, config::ConfigError> {
    table_of(File::from_str(DEFAULTS, FileFormat::Toml))
}

/// A file that is missing or no TOML: the position, and not its text.
fn unreadable(error: &config::ConfigError, file: &str) -> ConfigError {
    let text = match error {
        config::ConfigError::FileParse { cause, .. } if cause.is::<ParseIntError>() => {
            format!("{file}: a whole number in it is larger than {}", i64::MAX)
        }
        config::ConfigError::FileParse { cause, .. } => {
            let cause = cause.to_string();
            let place = cause.lines().next().and_then(|line| line.strip_prefix(SYNTAX_ERROR));
            format!(
                "{file} is not TOML: error at {}. The line is not shown, because it may hold a \
                 secret; texts stand in quotes",
                place.unwrap_or("an unknown place")
            )
        }
        config::ConfigError::Foreign(cause) => cause.to_string(),
        _ => "the sources cannot be read".to_owned(),
    };
    let mut problems = Problems::default();
    problems.source(text);
    ConfigError::of(problems)
}

/// Removes unknown keys, and values where a section is expected.
fn refuse_unknown_keys(
    table: &mut Table,
    defaults: &Table,
    section: &str,
    problems: &mut Problems,
) {
    let mut names: Vec<String> = table.keys().cloned().collect();
    names.sort_unstable();
    for name in names {
        let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match (table.get_mut(&name).map(|value| &mut value.kind), defaults.get(&name)) {
            (kind, None) => {
                let is_section = matches!(kind, Some(ValueKind::Table(_)));
                problems.key(&key, unknown(&name, is_section, section, defaults));
                table.remove(&name);
            }
            (
                Some(ValueKind::Table(inner)),
                Some(Value { kind: ValueKind::Table(defaults), .. }),
            ) => {
                refuse_unknown_keys(inner, defaults, &key, problems);
            }
            (Some(_), Some(default @ Value { kind: ValueKind::Table(_), .. })) => {
                problems.key(&key, format_args!("is a section: [{key}] with keys below it"));
                table.insert(name, default.clone());
            }
            _ => {}
        }
    }
}

/// What may be meant instead: a section for a section, a setting for a setting.
fn unknown(name: &str, is_section: bool, section: &str, defaults: &Table) -> String {
    // RAS_CACHE_NAMESPACE: one underscore where a section ends takes two. RAS_HTTP_LISTEN: it is in no section.
    let sections = defaults.iter().filter_map(|(section, value)| {
        let ValueKind::Table(keys) = &value.kind else { return None };
        let key = name.strip_prefix(section.as_str())?.strip_prefix('_')?;
        let in_section = keys.contains_key(key).then(|| format!("{section}.{key}"));
        in_section.or_else(|| defaults.contains_key(key).then(|| key.to_owned()))
    });
    if let Some(key) = sections.into_iter().next() {
        let variable = variable(&key);
        return format!(
            "there is no such setting; did you mean {key}, or the variable {variable}?"
        );
    }
    let likeness = |known: &&String| strsim::jaro_winkler(name, known);
    let alike = |known: &Value| matches!(known.kind, ValueKind::Table(_)) == is_section;
    let known = defaults.iter().filter(|(_, value)| alike(value)).map(|(known, _)| known);
    let nearest = known.max_by(|one, two| likeness(one).total_cmp(&likeness(two)));
    let at = if section.is_empty() { String::new() } else { format!("{section}.") };
    match nearest.filter(|known| likeness(known) > NEAR_MISS) {
        Some(known) => format!("there is no such setting; did you mean {at}{known}?"),
        None => "there is no such setting; `result-aggregator settings` prints all".to_owned(),
    }
}

fn key_of(error: &config::ConfigError) -> Option<String> {
    match error {
        config::ConfigError::Type { key, .. } | config::ConfigError::At { key, .. } => key.clone(),
        config::ConfigError::NotFound(key) => Some(key.clone()),
        _ => None,
    }
}

/// The allowed values of the setting, without the given one.
fn allowed_by(error: &config::ConfigError) -> String {
    let expected = match error {
        config::ConfigError::Type { expected, .. } => (*expected).to_owned(),
        config::ConfigError::At { error, .. } => return allowed_by(error),
        config::ConfigError::Message(text) => {
            // Our own texts quote nothing. Of the others only what follows the value is shown.
            let own = text.strip_prefix(ALLOWED_IS);
            let expected = own.or_else(|| Some(text.rsplit_once(", expected ")?.1));
            expected.unwrap_or("another value").to_owned()
        }
        _ => "another value".to_owned(),
    };
    match &*expected {
        number if number.contains("integer") => "a whole number from 0".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a smaller whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text in quotes".to_owned(),
        _ => expected,
    }
}

/// Restores the default of a key. False if there is none, or the default itself is invalid.
fn restore(tree: &mut Table, defaults: &Table, key: &str) -> bool {
    let path = key.split_once('[').map_or(key, |(path, _)| path);
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let Some(default) = defaults.get(first) else { return false };
    match (rest, &default.kind) {
        (Some(rest), ValueKind::Table(defaults)) => match tree.get_mut(first) {
            Some(Value { kind: ValueKind::Table(inner), .. }) => restore(inner, defaults, rest),
            _ => false,
        },
        (None, _) => {
            let replaced = tree.insert(first.to_owned(), default.clone());
            replaced.is_none_or(|replaced| replaced.kind != default.kind)
        }
        (Some(_), _) => false,
    }
}
