//! Variables of the reference implementation. They are not read: a deployment that sets them and none of
//! ours would run with other settings than expected.

/// Its variable, without a prefix, and ours.
const VARIABLES: [(&str, &str); 8] = [
    ("DATABASE_URL", "RAS_DATABASE_URL"),
    ("KAFKA_BOOTSTRAP_SERVERS", "RAS_KAFKA_BROKERS"),
    ("KAFKA_CONSUMER_GROUP_ID", "RAS_KAFKA__GROUP_ID"),
    ("KAFKA_SESSION_TIMEOUT_MS", "RAS_KAFKA__SESSION_TIMEOUT_SECONDS"),
    ("REDIS_URL", "RAS_REDIS_URL"),
    ("REDIS_CACHE_TTL_SECONDS", "RAS_CACHE__ENTRY_TTL_SECONDS"),
    ("INTERNAL_API_KEY", "RAS_INTERNAL_API_KEY"),
    ("ALLOWED_SERVICE_IDS", "RAS_ALLOWED_SERVICES"),
];
/// Names that many programs use. Only with the prefix they are meant for this one.
const COMMON: [(&str, &str); 3] =
    [("HOST", "RAS_LISTEN"), ("PORT", "RAS_LISTEN"), ("LOG_LEVEL", "RAS_LOG")];
/// The parts of a database URL.
const DATABASE_PARTS: [&str; 2] = ["HULEEDU_DB_USER", "HULEEDU_DB_PASSWORD"];
/// Prefixes of its variables.
const PREFIXES: [&str; 3] = ["", "HULEEDU_", SERVICE_PREFIX];
const SERVICE_PREFIX: &str = "RESULT_AGGREGATOR_SERVICE_";

/// A sentence about its variables that are set while ours are not; none if there are none. It has the
/// names of variables, never their values.
pub fn unread_variables(is_set: impl Fn(&str) -> bool) -> Option<String> {
    let prefixed = PREFIXES
        .iter()
        .flat_map(|prefix| VARIABLES.map(|(name, ours)| (format!("{prefix}{name}"), ours)));
    let common = COMMON.map(|(name, ours)| (format!("{SERVICE_PREFIX}{name}"), ours));
    let parts = DATABASE_PARTS.map(|name| (name.to_owned(), "RAS_DATABASE_URL"));
    let unread: Vec<String> = prefixed
        .chain(common)
        .chain(parts)
        .filter(|(theirs, ours)| is_set(theirs) && !is_set(ours))
        .map(|(theirs, ours)| format!("{theirs} (set {ours} instead)"))
        .collect();
    (!unread.is_empty())
        .then(|| format!("variables that are set and not read: {}", unread.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_of_the_reference_is_named_unless_ours_is_set() {
        let set = ["HULEEDU_INTERNAL_API_KEY", "REDIS_URL", "RAS_REDIS_URL", "PORT"];
        assert_eq!(
            unread_variables(|name| set.contains(&name)).unwrap(),
            "variables that are set and not read: HULEEDU_INTERNAL_API_KEY (set \
             RAS_INTERNAL_API_KEY instead)"
        );
        let set = ["RESULT_AGGREGATOR_SERVICE_DATABASE_URL", "RESULT_AGGREGATOR_SERVICE_PORT"];
        let text = unread_variables(|name| set.contains(&name)).unwrap();
        assert!(text.contains("RAS_DATABASE_URL") && text.contains("RAS_LISTEN"), "{text}");
        assert_eq!(unread_variables(|name| name == "RAS_REDIS_URL"), None);
    }
}
