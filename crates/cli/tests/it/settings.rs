//! Settings: which are refused, with which error, and that no error prints a secret.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Process, ProcessBuilder};

use crate::support::common::TIMEOUT;
use crate::support::http::http_client;
use crate::support::program::{program, run};
use crate::support::service::KEY;

/// A secret that no output may contain, whatever is wrong with its line or its neighbours.
const SECRET: &str = "hunter2-hunter2-hunter2";

struct SettingsFile {
    directory: tempfile::TempDir,
}

impl SettingsFile {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("settings.toml")
    }

    /// Exit code and output of `settings --check` for this text.
    async fn check(&self, text: &str) -> (i32, String) {
        fs::write(self.path(), text).unwrap();
        run(program(&["settings", "--check", self.path().to_str().unwrap()])).await
    }
}

#[tokio::test]
async fn valid_settings_pass_check() {
    let file = SettingsFile::new();
    let defaults = run(program(&["settings"])).await.1;
    for text in
        ["", &*defaults, "log = \"info,aggregator=debug\"\n[cache]\nttl_jitter_percent = 100\n"]
    {
        let (code, output) = file.check(text).await;
        assert_eq!(code, 0, "{output}");
        assert!(output.contains("can be used"), "{output}");
    }
}

/// The error has the name of each wrong setting and what is allowed.
#[tokio::test]
async fn wrong_settings_are_all_reported_at_once() {
    let file = SettingsFile::new();
    let (code, output) = file
        .check(
            r#"
listen = "nowhere"
log = "loud"
log_format = "xml"
database_url = "mysql://host/database"
kafka_brokers = "PLAINTEXT://kafka:9092"
allowed_services = ["bff teacher"]
internal_api_key = "short"
internal_api_key_previous = "short"
lissten = "127.0.0.1:1"
http_listen = "127.0.0.1:1"
https = true
retention = "long"
[http]
conections_max = 3
read_timeout_seconds = "ten"
compressed_megabytes = 17592186044417
[cache]
namespace = "my cache"
ttl_jitter_percent = 101
memory_megabytes = 17592186044417
near_megabytes = 17592186044417
single_process = "perhaps"
[postgres]
connections_max = 5000000000
[kafka]
group_id = ""
[publish]
skip_before = "yesterday"
[traces]
endpoint = "host:4318"
ca_file = "ca.pem"
[api]
status_values = "both"
[console]
operator_token = "short"
viewer_token = "short"
session_hours = 0
"#,
        )
        .await;
    assert_eq!(code, 1, "{output}");
    for expected in [
        "34 things are wrong",
        "listen (RAS_LISTEN): allowed is ADDRESS:PORT",
        "log (RAS_LOG): allowed are off, error, warn",
        "log_format (RAS_LOG_FORMAT): allowed is `text` or `json`",
        "database_url (RAS_DATABASE_URL): allowed is postgres://",
        "kafka_brokers (RAS_KAFKA_BROKERS): allowed are host:9092",
        "allowed_services (RAS_ALLOWED_SERVICES): allowed are 1 to 128 characters",
        "internal_api_key (RAS_INTERNAL_API_KEY): allowed are 16 to 512 visible",
        "internal_api_key_previous (RAS_INTERNAL_API_KEY_PREVIOUS): allowed are 16 to 512 visible",
        "internal_api_key_previous (RAS_INTERNAL_API_KEY_PREVIOUS): is the same as internal_api_key",
        "lissten (RAS_LISSTEN): there is no such setting; did you mean listen?",
        "http_listen (RAS_HTTP_LISTEN): there is no such setting; did you mean listen, or the variable \
         RAS_LISTEN?",
        "https (RAS_HTTPS): there is no such setting; `result-aggregator settings` prints all",
        "retention (RAS_RETENTION): is a section",
        "http.conections_max (RAS_HTTP__CONECTIONS_MAX): there is no such setting; did you mean \
         http.connections_max?",
        "http.read_timeout_seconds (RAS_HTTP__READ_TIMEOUT_SECONDS): allowed is a whole number",
        "http.compressed_megabytes (RAS_HTTP__COMPRESSED_MEGABYTES): allowed are whole numbers from 0",
        "cache.namespace (RAS_CACHE__NAMESPACE): ",
        "cache.ttl_jitter_percent (RAS_CACHE__TTL_JITTER_PERCENT): allowed are whole numbers from 0 \
         to 100",
        "cache.memory_megabytes (RAS_CACHE__MEMORY_MEGABYTES): allowed are whole numbers from 1",
        "cache.near_megabytes (RAS_CACHE__NEAR_MEGABYTES): allowed are whole numbers from 0",
        "cache.single_process (RAS_CACHE__SINGLE_PROCESS): allowed is true or false",
        "postgres.connections_max (RAS_POSTGRES__CONNECTIONS_MAX): allowed is a whole number",
        "kafka.group_id (RAS_KAFKA__GROUP_ID): allowed are 1 to 128 characters",
        "api.status_values (RAS_API__STATUS_VALUES): allowed is `client` or `internal`",
        "console.operator_token (RAS_CONSOLE__OPERATOR_TOKEN): allowed are 16 to 512 visible",
        "console.operator_token (RAS_CONSOLE__OPERATOR_TOKEN): is an API key",
        "console.viewer_token (RAS_CONSOLE__VIEWER_TOKEN): is the same as console.operator_token",
        "console.session_hours (RAS_CONSOLE__SESSION_HOURS): allowed are whole numbers from 1 to 720",
        "publish.skip_before (RAS_PUBLISH__SKIP_BEFORE): allowed is a time such as 2026-11-25T",
        "traces.endpoint (RAS_TRACES__ENDPOINT): allowed is http://host:4318/v1/traces or https",
        "traces.ca_file (RAS_TRACES__CA_FILE): is for a traces.endpoint that begins with https://",
    ] {
        assert!(output.contains(expected), "{expected:?} in {output}");
    }
}

/// For a file that is not TOML, the error has the line number and nothing of the file.
#[tokio::test]
async fn errors_never_print_lines_of_the_file() {
    let file = SettingsFile::new();
    let secret = format!("internal_api_key = \"{SECRET}\"\n");
    for (broken, place) in [
        (format!("internal_api_key = {SECRET}\n"), "line 1"),
        (format!("internal_api_key \"{SECRET}\"\n"), "line 1"),
        (format!("internal_api_key = \"{SECRET}\n"), "line 1"),
        (format!("{secret}{secret}"), "line 2"),
        (format!("{secret}log = = 3\n{secret}"), "line 2"),
        (format!("[{SECRET}\n"), "line 1"),
        (format!("internal_api_key = [\"{SECRET}\"]"), "internal_api_key"),
        (format!("internal_api_key_previous = \"{SECRET}\""), "is set without internal_api_key"),
        (format!("http = \"{SECRET}\""), "http"),
        (format!("log_format = \"{SECRET}\""), "log_format"),
        (format!("listen = \"{SECRET}\""), "listen"),
        (format!("[http]\nconnections_max = \"{SECRET}\""), "http.connections_max"),
        (format!("[cache]\nsingle_process = \"{SECRET}\""), "cache.single_process"),
        (format!("[cache]\nnamespace = \"{SECRET} {SECRET}\""), "cache.namespace"),
        (format!("database_url = \"postgres://u:{SECRET}@host:port/x\""), "database_url"),
        (format!("database_url = \"mysql://u:{SECRET}@host/x\""), "database_url"),
        (format!("kafka_brokers = \"sasl://u:{SECRET}@host:1\""), "kafka_brokers"),
        (format!("allowed_services = '[\"{SECRET}\", 3]'"), "allowed_services"),
        (format!("allowed_services = 'a {SECRET}'"), "allowed_services"),
    ] {
        let (code, output) = file.check(&broken).await;
        assert_eq!(code, 1, "{broken}: {output}");
        assert!(output.contains(place), "{broken}: {output}");
        assert!(!output.contains("hunter2"), "{output}");
    }
}

/// What is wrong is named by its key, with what is allowed, and without the password.
#[tokio::test]
async fn settings_of_redis_that_do_not_go_together_are_refused() {
    let file = SettingsFile::new();
    let url = format!("redis://u:{SECRET}@host");
    let urls = format!("redis_urls = [\"{url}\"]");
    let tls = format!("redis_url = \"rediss://u:{SECRET}@host\"");
    for (text, key, hint) in [
        (
            "redis_mode = \"both\"".to_owned(),
            "redis_mode",
            "one of `single`, `cluster`, `sentinel`",
        ),
        (format!("redis_url = \"http://u:{SECRET}@host\""), "redis_url", "rediss://… over TLS"),
        (urls.clone(), "redis_urls", "is for redis_mode = \"cluster\" or \"sentinel\""),
        ("redis_mode = \"cluster\"".to_owned(), "redis_urls", "at least one"),
        (
            format!("redis_mode = \"cluster\"\nredis_url = \"{url}\"\n{urls}"),
            "redis_url",
            "set redis_urls instead",
        ),
        (
            format!("redis_mode = \"cluster\"\nredis_urls = \"{url},rediss://u:{SECRET}@h\""),
            "redis_urls",
            "all of them or none",
        ),
        (
            format!("redis_mode = \"cluster\"\nredis_urls = [\"unix:///{SECRET}\"]"),
            "redis_urls",
            "allowed are redis://",
        ),
        (
            format!("redis_mode = \"sentinel\"\n{urls}"),
            "redis_sentinel_master",
            "what the sentinels call the primary",
        ),
        (
            format!("redis_url = \"{url}\"\nredis_password = \"{SECRET}\""),
            "redis_password",
            "is for redis_mode = \"sentinel\"",
        ),
        (
            format!("redis_url = \"{url}\"\nredis_ca_file = \"ca.pem\""),
            "redis_ca_file",
            "is for URLs that begin with rediss://",
        ),
        (
            format!("{tls}\nredis_client_key_file = \"key.pem\""),
            "redis_client_key_file",
            "go together",
        ),
        (
            format!("{tls}\nredis_client_certificate_file = \"client.pem\""),
            "redis_client_certificate_file",
            "go together",
        ),
    ] {
        let text = format!("internal_api_key = \"{KEY}\"\n{text}\n");
        let (code, output) = file.check(&text).await;
        assert_eq!(code, 1, "{text}: {output}");
        let is_named = output.contains(&format!("{key} (RAS_{})", key.to_uppercase()));
        assert!(is_named && output.contains(hint), "{text}: {output}");
        assert!(!output.contains("hunter2"), "{output}");
    }
    for text in [
        format!("redis_mode = \"cluster\"\n{urls}"),
        format!("redis_mode = \"sentinel\"\nredis_sentinel_master = \"m\"\n{urls}"),
        tls,
    ] {
        let text = format!("internal_api_key = \"{KEY}\"\n{text}\n");
        let (code, output) = file.check(&text).await;
        assert_eq!(code, 0, "{text}: {output}");
    }
}

#[tokio::test]
async fn kafka_settings_that_do_not_go_together_are_refused_by_name() {
    let file = SettingsFile::new();
    let start = format!(
        "internal_api_key = \"{KEY}\"\nkafka_brokers = \"kafka:9093\"\ncache.single_process = true\n[kafka]\n"
    );
    let login = format!(
        "sasl_mechanism = \"SCRAM-SHA-512\"\nsasl_username = \"u\"\nsasl_password = \"{SECRET}\""
    );
    for (text, key, hint) in [
        (
            "security_protocol = \"tls\"".to_owned(),
            "security_protocol",
            "allowed is one of `plaintext`, `ssl`, `sasl_plaintext`, `sasl_ssl`",
        ),
        (
            format!("sasl_mechanism = \"{SECRET}\""),
            "sasl_mechanism",
            "allowed is one of `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`",
        ),
        ("ca_file = \"ca.pem\"".to_owned(), "ca_file", "is for kafka.security_protocol = \"ssl\""),
        (
            "security_protocol = \"ssl\"\nclient_key_file = \"key.pem\"".to_owned(),
            "client_key_file",
            "go together",
        ),
        (
            format!("security_protocol = \"ssl\"\n{login}"),
            "sasl_password",
            "is for kafka.security_protocol = \"sasl_ssl\"",
        ),
        (
            "security_protocol = \"sasl_ssl\"\nsasl_username = \"u\"".to_owned(),
            "sasl_password",
            "is not set; kafka.security_protocol = \"sasl_ssl\" needs it",
        ),
        (
            "security_protocol = \"sasl_plaintext\"".to_owned(),
            "sasl_mechanism",
            "needs it: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
        ),
    ] {
        let (code, output) = file.check(&format!("{start}{text}\n")).await;
        assert_eq!(code, 1, "{text}: {output}");
        let name = format!("kafka.{key} (RAS_KAFKA__{})", key.to_uppercase());
        assert!(output.contains(&name) && output.contains(hint), "{text}: {output}");
        assert!(!output.contains("hunter2"), "{output}");
    }
    for text in [
        "security_protocol = \"ssl\"".to_owned(),
        format!("security_protocol = \"sasl_ssl\"\nca_file = \"ca.pem\"\n{login}"),
        format!("security_protocol = \"sasl_plaintext\"\n{login}"),
    ] {
        let (code, output) = file.check(&format!("{start}{text}\n")).await;
        assert_eq!(code, 0, "{text}: {output}");
    }
}

#[tokio::test]
async fn unreadable_file_and_too_large_number_are_reported() {
    let file = SettingsFile::new();
    let (code, output) = file.check("[cache]\nmemory_megabytes = 18446744073709551615\n").await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("larger than 9223372036854775807"), "{output}");
    assert!(output.contains("settings.toml"), "{output}");

    for (path, expected) in [("/nowhere/x.toml", "No such file"), ("/", "directory")] {
        let (code, output) = run(program(&["settings", "--check", path])).await;
        assert_eq!(code, 1, "{output}");
        assert!(
            output.contains(&format!("read {path}: ")) && output.contains(expected),
            "{output}"
        );
    }
    let (code, output) = run(program(&["settings", "--check", "/dev/null"])).await;
    assert_eq!(code, 0, "a file need not be a regular one: {output}");
}

#[tokio::test]
async fn variable_with_single_underscore_is_refused_with_correction() {
    let check = program(&["settings", "--check", "/dev/null"]).env("RAS_CACHE_NAMESPACE", "x");
    let (code, output) = run(check).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("RAS_CACHE__NAMESPACE"), "{output}");
}

#[tokio::test]
async fn redis_url_of_wrong_scheme_is_refused_without_printing_password() {
    let url = format!("http://u:{SECRET}@host");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--redis-url", &url];
    let (code, output) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("redis_url") && !output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn internal_api_key_that_is_short_or_has_spaces_is_refused() {
    for key in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n", "0123456789abcdé"] {
        let serve = program(&["serve", "--listen", "127.0.0.1:0"]);
        let (code, output) = run(serve.env("RAS_INTERNAL_API_KEY", key)).await;
        assert_eq!(code, 1, "{output}");
        assert!(output.contains("16 to 512 visible ASCII"), "{output}");
        assert!(!output.contains("0123456789"), "{output}");
    }
}

fn embedded(data_dir: &Path) -> ProcessBuilder {
    program(&["serve", "--listen", "127.0.0.1:0"]).env("RAS_DATA_DIR", data_dir)
}

async fn started(builder: ProcessBuilder) -> (Process, String) {
    let process = builder.start().await;
    let line = process.wait_for_line("listening on ", TIMEOUT).await;
    let base = line.rsplit(' ').next().unwrap().to_owned();
    (process, base)
}

#[tokio::test]
async fn certificate_and_key_of_the_listener_are_set_together() {
    let file = SettingsFile::new();
    let (certificate, key) = ("tls_certificate_file = \"a.pem\"", "tls_key_file = \"a.key\"");
    for (text, name) in [
        (certificate, "http.tls_certificate_file (RAS_HTTP__TLS_CERTIFICATE_FILE)"),
        (key, "http.tls_key_file (RAS_HTTP__TLS_KEY_FILE)"),
    ] {
        let (code, output) = file.check(&format!("[http]\n{text}\n")).await;
        assert_eq!(code, 1, "{output}");
        let expected = format!(
            "{name}: is set alone: http.tls_certificate_file and http.tls_key_file go together"
        );
        assert!(output.contains(&expected), "{output}");
    }
    let (code, output) = file.check(&format!("[http]\n{certificate}\n{key}\n")).await;
    assert_eq!(code, 0, "{output}");
}

#[tokio::test]
async fn allowed_services_accept_commas_or_json_list() {
    for list in ["one, two", r#"["one", "two"]"#] {
        let directory = tempfile::tempdir().unwrap();
        let builder = embedded(directory.path())
            .env("RAS_ALLOWED_SERVICES", list)
            .env("RAS_INTERNAL_API_KEY", KEY);
        let (_process, base) = started(builder).await;
        for (service, expected) in [("one", 200), ("two", 200), (list, 401)] {
            let answer = http_client()
                .get(format!("{base}/internal/v1/batches/user/teacher"))
                .header("X-Internal-API-Key", KEY)
                .header("X-Service-ID", service)
                .send();
            assert_eq!(answer.await.unwrap().status(), expected, "{service} of {list}");
        }
    }
}

#[tokio::test]
async fn embedded_start_logs_mode_first_and_names_unread_variables() {
    let directory = tempfile::tempdir().unwrap();
    let builder = embedded(directory.path())
        .env("KAFKA_BOOTSTRAP_SERVERS", SECRET)
        .env("HULEEDU_INTERNAL_API_KEY", SECRET)
        .env("RESULT_AGGREGATOR_SERVICE_DATABASE_URL", SECRET);
    let (process, _) = started(builder).await;
    process.wait_for_line("not read: ", TIMEOUT).await;
    let lines = process.lines();
    let output = lines.join("\n");
    let first = lines.iter().find(|line| line.contains("INFO") || line.contains("WARN"));
    assert!(first.unwrap().contains("embedded mode: SQLite"), "{output}");
    assert_eq!(output.matches("set and not read:").count(), 1, "{output}");
    for expected in [
        "KAFKA_BOOTSTRAP_SERVERS (set RAS_KAFKA_BROKERS instead)",
        "HULEEDU_INTERNAL_API_KEY (set RAS_INTERNAL_API_KEY instead)",
        "RESULT_AGGREGATOR_SERVICE_DATABASE_URL (set RAS_DATABASE_URL instead)",
    ] {
        assert!(output.contains(expected), "{expected} in {output}");
    }
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn invalid_settings_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let check = async |name: &str, builder: ProcessBuilder, expected: &str| {
        let (code, output) = run(builder.env("RAS_DATA_DIR", directory.path())).await;
        assert_eq!(code, 1, "{name}: {output}");
        assert!(output.contains(expected), "{name}: {output}");
    };
    let postgres_url = "postgres://127.0.0.1/none";
    let no_key = program(&["serve", "--database-url", postgres_url]);
    check("a key is required", no_key, "RAS_INTERNAL_API_KEY").await;
    let alone =
        program(&["serve", "--database-url", postgres_url]).env("RAS_INTERNAL_API_KEY", KEY);
    check("a cache that other processes cannot invalidate", alone, "cache.single_process").await;
    let open = program(&["serve", "--listen", "0.0.0.0:0"]);
    check("an address that others can reach", open, "RAS_INTERNAL_API_KEY").await;
    let unknown = program(&["serve"]).env("RAS_CACHE__ENTRY_TTL_SECOND", "3");
    check("an unknown key", unknown, "entry_ttl_second").await;
    let wrong = program(&["serve"]).env("RAS_CACHE__ENTRY_TTL_SECONDS", "0");
    check("a value out of range", wrong, "entry_ttl_seconds").await;
    let wrong = program(&["serve"]).env("RAS_PUBLISH__DELIVERY_TIMEOUT_SECONDS", "301");
    check("a claim held for too long", wrong, "delivery_timeout_seconds").await;
    let wrong = program(&["serve"]).env("RAS_RETENTION__OUTBOX_HOURS", "0");
    check("records kept for no time", wrong, "retention.outbox_hours").await;
    let wrong = program(&["serve"]).env("RAS_LISTEN", "nowhere");
    check("an address", wrong, "listen").await;
    let no_file = program(&["serve", "--config", "no-such-file.toml"]);
    check("a missing file", no_file, "no-such-file.toml").await;
    let redis_url = program(&["serve", "--redis-url", "http://x"]).env("RAS_INTERNAL_API_KEY", KEY);
    check("not a redis url", redis_url, "redis_url").await;
    let no_ca = program(&["serve", "--redis-url", "rediss://x"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_REDIS_CA_FILE", "no-such-ca.pem");
    check("a missing file of a CA", no_ca, "redis_ca_file: read no-such-ca.pem").await;
    let no_ca = program(&["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_TRACES__ENDPOINT", "https://127.0.0.1:1/v1/traces")
        .env("RAS_TRACES__CA_FILE", "no-such-ca.pem");
    check("a missing file of a CA", no_ca, "traces.ca_file no-such-ca.pem: No such file").await;
    let kafka = || {
        program(&["serve", "--kafka-brokers", "127.0.0.1:1", "--listen", "127.0.0.1:0"])
            .env("RAS_INTERNAL_API_KEY", KEY)
            .env("RAS_CACHE__SINGLE_PROCESS", "true")
            .env("RAS_KAFKA__SECURITY_PROTOCOL", "ssl")
    };
    let no_ca = kafka().env("RAS_KAFKA__CA_FILE", "no-such-ca.pem");
    check("a missing file of a CA", no_ca, "kafka.ca_file: read no-such-ca.pem").await;
    let no_pem =
        kafka().env("RAS_KAFKA__CA_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    check("a file that is no certificate", no_pem, "prepare the kafka consumer").await;
}
