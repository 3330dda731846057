//! Deserializers of single values. Their errors say what is allowed, and never quote the value, which may be
//! a secret.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use projection::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::IntoDeserializer as _;
use serde::de::value::StringDeserializer;
use serde::{Deserialize, Deserializer};

use super::HOUR_SECONDS;

/// How their errors begin; those of other deserializers may quote a value.
pub(super) const ALLOWED_IS: &str = "allowed is ";

pub(super) fn non_empty<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(source)?;
    Ok((!text.is_empty()).then_some(text))
}

pub(super) fn non_empty_path<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<PathBuf>, D::Error> {
    Ok(non_empty(source)?.map(PathBuf::from))
}

pub(super) fn non_empty_secret<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<SecretString>, D::Error> {
    let secret = SecretString::deserialize(source)?;
    Ok((!secret.expose_secret().is_empty()).then_some(secret))
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    u64::deserialize(source).map(Duration::from_secs)
}

pub(super) fn hours<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    u64::deserialize(source).map(|hours| Duration::from_secs(hours.saturating_mul(HOUR_SECONDS)))
}

pub(super) fn milliseconds<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    u64::deserialize(source).map(Duration::from_millis)
}

/// A time, or nothing.
pub(super) fn moment<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = non_empty(source)? else { return Ok(None) };
    let wrong = |_| allowed_is("a time such as 2026-11-25T00:00:00Z, or nothing");
    Timestamp::parse(&text).map(Some).map_err(wrong)
}

pub(super) fn address<'de, D: Deserializer<'de>>(source: D) -> Result<SocketAddr, D::Error> {
    let wrong = |_| allowed_is("ADDRESS:PORT, such as 127.0.0.1:4003");
    String::deserialize(source)?.parse().map_err(wrong)
}

/// One of the words of an enum. The error of the derived code would quote the value.
pub(super) fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<T, D::Error> {
    let word: StringDeserializer<serde::de::value::Error> =
        String::deserialize(source)?.into_deserializer();
    T::deserialize(word).map_err(|error| {
        let error = error.to_string();
        allowed_is(error.rsplit_once(", expected ").map_or("another word", |(_, words)| words))
    })
}

/// One of the words of an enum, or nothing.
pub(super) fn optional_word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<Option<T>, D::Error> {
    let Some(text) = non_empty(source)? else { return Ok(None) };
    word::<StringDeserializer<D::Error>, T>(text.into_deserializer()).map(Some)
}

/// An error that has the allowed values, and not the given one.
fn allowed_is<E: serde::de::Error>(what: &str) -> E {
    E::custom(format_args!("{ALLOWED_IS}{what}"))
}

/// A list, or, as variables have no lists, a text with commas or a JSON list.
pub(super) fn list<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a list of texts, a text with commas, or a JSON list in a text")]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    let text = match Form::deserialize(source)? {
        Form::List(items) => return Ok(items),
        Form::Text(text) => text,
    };
    if text.trim_start().starts_with('[') {
        let wrong = |_| allowed_is("a JSON list of texts");
        return serde_json::from_str(&text).map_err(wrong);
    }
    let items = text.split(',').map(|item| item.trim().to_owned());
    Ok(items.filter(|item| !item.is_empty()).collect())
}

pub(super) fn secret_list<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Vec<SecretString>, D::Error> {
    Ok(list(source)?.into_iter().map(SecretString::from).collect())
}
