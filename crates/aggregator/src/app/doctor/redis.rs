//! Check of Redis: the check of the library, and what the server says about itself and its keys.

use std::time::Duration;

use freshset::BackendError;
use freshset::backend::redis::{CheckFinding, KeySample, RedisBackend, ServerInfo, Severity};
use tokio::time::timeout;

use super::{Diagnosis, DoctorFinding, Effect, Subject};
use crate::app::redis::redis_backend;
use crate::cache::check::UNAVAILABLE;
use crate::config::Config;
use crate::error_chain::error_chain;

/// How long connecting may take, beyond which the first command reports why.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The oldest version that the cache is made for.
const MAJOR_VERSION_MIN: u32 = 7;

/// Checks Redis.
pub(super) async fn check(config: &Config) -> Diagnosis {
    let Some(servers) = config.redis() else {
        return Diagnosis::new(Subject::Redis, "not configured, the cache is inside the process");
    };
    let redis = match redis_backend(config, servers) {
        Ok(redis) => redis,
        Err(error) => {
            return Diagnosis::new(Subject::Redis, "not reached").with(DoctorFinding {
                code: "settings",
                effect: Effect::Stops,
                problem: format!("{error:#}"),
                meaning: "a start fails with it".into(),
                fix: "correct the setting, or the file that it names".into(),
            });
        }
    };
    // A command waits less long than connecting may take.
    let _ = timeout(CONNECT_MAX, redis.connection_changed(None)).await;
    let checked = match redis.check().await {
        Ok(checked) => checked,
        Err(error) => {
            return Diagnosis::new(Subject::Redis, "not reached").with(unavailable(&error));
        }
    };
    let mut diagnosis = Diagnosis::new(Subject::Redis, "");
    diagnosis.findings.extend(checked.iter().map(of_library));
    let mut summary = Vec::new();
    match redis.info().await {
        Ok(servers) => {
            summary.extend(servers.iter().map(server_text));
            diagnosis.findings.extend(servers.iter().filter_map(old_version));
            diagnosis.findings.extend(servers.iter().filter_map(persistence));
        }
        Err(error) => summary.push(format!("INFO failed ({})", error_chain(&error))),
    }
    summary.push(sample(&redis, &mut diagnosis).await);
    diagnosis.summary = summary.join(", ");
    diagnosis
}

fn unavailable(error: &BackendError) -> DoctorFinding {
    DoctorFinding {
        code: UNAVAILABLE,
        effect: Effect::Stops,
        problem: error_chain(error),
        meaning: "reads bypass the cache, and events wait for their invalidations".into(),
        fix:
            "start the server, and check the address in the settings and the network to it; only a \
              primary is used"
                .into(),
    }
}

fn of_library(found: &CheckFinding) -> DoctorFinding {
    let advice = found.code.advice();
    let problem = found.detail.strip_suffix(advice).unwrap_or(&found.detail);
    let (effect, meaning) = match found.code.severity() {
        Severity::Blocking => (
            Effect::Stops,
            "no invalidation is confirmed, so no event is ever done, and the service is not ready",
        ),
        Severity::Warning => (
            Effect::Warning,
            "the cache stores nothing new, or will not once the memory is full: reads go to the \
             database",
        ),
        Severity::Hint => (
            Effect::Warning,
            "the memory of the server may have no limit: it can grow until the machine has none left",
        ),
    };
    DoctorFinding {
        code: found.code.as_str(),
        effect,
        problem: problem.trim_end_matches("; ").to_owned(),
        meaning: meaning.into(),
        fix: advice.to_owned(),
    }
}

/// Product, version, role, limit of the memory.
fn server_text(server: &ServerInfo) -> String {
    let field = |name| server.field(name).unwrap_or("unknown");
    let product = match server.field("valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => format!("Redis {}", field("redis_version")),
    };
    let at = server.address.as_ref().map(|address| format!("{address}: ")).unwrap_or_default();
    let role = field("role");
    format!("{at}{product}, role {role}, maxmemory-policy {}", field("maxmemory_policy"))
}

fn old_version(server: &ServerInfo) -> Option<DoctorFinding> {
    let version = server.field("redis_version")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < MAJOR_VERSION_MIN).then(|| DoctorFinding {
        code: "old_version",
        effect: Effect::Stops,
        problem: format!("the server is Redis {version}"),
        meaning: "it does not know every command of the cache".into(),
        fix: "use Redis or Valkey 7.0 or later".into(),
    })
}

/// A server that keeps its data comes back with entries that were invalidated since.
fn persistence(server: &ServerInfo) -> Option<DoctorFinding> {
    let number = |name| server.field(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    // A replica is sent a snapshot and loads it, which proves no persistence of either.
    let unless = |replicated, count| if number(replicated) == 0 { number(count) } else { 0 };
    let saves = unless("total_net_repl_output_bytes", "rdb_saves");
    let loaded = unless("total_net_repl_input_bytes", "rdb_last_load_keys_loaded");
    let cause = if number("aof_enabled") > 0 {
        "it writes an append-only file".to_owned()
    } else if saves > 0 {
        format!("it has saved {saves} snapshots since its start")
    } else if loaded > 0 {
        "it was started with the keys of a snapshot".to_owned()
    } else {
        return None;
    };
    Some(DoctorFinding {
        code: "persistence",
        effect: Effect::Warning,
        problem: format!("the server keeps its data: {cause}"),
        meaning: "after a restart it may have entries from before an invalidation, which are then \
                  served until they expire; to come back empty is harmless"
            .into(),
        fix: "set save \"\" and appendonly no".into(),
    })
}

/// What the sample says, for the summary.
async fn sample(redis: &RedisBackend, diagnosis: &mut Diagnosis) -> String {
    match redis.sample_keys().await {
        Ok(KeySample { of_namespace, without_ttl, .. }) => {
            if without_ttl > 0 {
                diagnosis.findings.push(DoctorFinding {
                    code: "keys_without_ttl",
                    effect: Effect::Warning,
                    problem: format!(
                        "{without_ttl} of {of_namespace} keys of the namespace, drawn at random, have no TTL"
                    ),
                    meaning: "the cache makes no such key: another program writes to the namespace, and \
                              its keys are never freed"
                        .into(),
                    fix: "set cache.namespace to one that nothing else uses, and delete these keys"
                        .into(),
                });
            }
            format!("{of_namespace} keys of the namespace looked at")
        }
        Err(BackendError::Unauthorized { .. }) => {
            "keys without a TTL not looked for (that needs the right +randomkey)".into()
        }
        Err(error) => format!("keys without a TTL not looked for ({})", error_chain(&error)),
    }
}
