//! Settings: what is refused, how it is said, and what is never said.

use std::path::{Path, PathBuf};

use testkit::{Process, ProcessBuilder};

use crate::lifecycle::{program, run};
use crate::service::KEY;
use crate::tools::PATIENCE;

/// In no output, whatever is wrong with the line it is on or those around.
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

    /// What `settings --check` says of this text.
    async fn check(&self, text: &str) -> (i32, String) {
        std::fs::write(self.path(), text).unwrap();
        run(program(&["settings", "--check", self.path().to_str().unwrap()])).await
    }
}

#[tokio::test]
async fn settings_that_can_be_used_pass_the_check() {
    let file = SettingsFile::new();
    let defaults = run(program(&["settings"])).await.1;
    for text in
        ["", &*defaults, "log = \"info,aggregator=debug\"\n[cache]\nttl_jitter_percent = 100\n"]
    {
        let (code, said) = file.check(text).await;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("can be used"), "{said}");
    }
}

/// Each wrong setting with its name and what is allowed, in every mode.
#[tokio::test]
async fn wrong_settings_are_all_told_at_once() {
    let file = SettingsFile::new();
    let (code, said) = file
        .check(
            r#"
listen = "nowhere"
log = "loud"
log_format = "xml"
database_url = "mysql://host/database"
kafka_brokers = "PLAINTEXT://kafka:9092"
allowed_services = ["bff teacher"]
internal_api_key = "short"
lissten = "127.0.0.1:1"
retention = "long"
[http]
conections_max = 3
read_timeout_seconds = "ten"
[cache]
namespace = "my cache"
ttl_jitter_percent = 101
memory_megabytes = 17592186044417
single_process = "perhaps"
[postgres]
connections_max = 5000000000
[kafka]
group_id = ""
[publish]
skip_before = "yesterday"
[api]
status_values = "both"
"#,
        )
        .await;
    assert_eq!(code, 1, "{said}");
    for expected in [
        "20 things are wrong",
        "listen (RAS_LISTEN): allowed is ADDRESS:PORT",
        "log (RAS_LOG): allowed are off, error, warn",
        "log_format (RAS_LOG_FORMAT): allowed is `text` or `json`",
        "database_url (RAS_DATABASE_URL): allowed is postgres://",
        "kafka_brokers (RAS_KAFKA_BROKERS): allowed are host:9092",
        "allowed_services (RAS_ALLOWED_SERVICES): allowed are 1 to 128 characters",
        "internal_api_key (RAS_INTERNAL_API_KEY): allowed are 16 to 512 visible",
        "lissten (RAS_LISSTEN): there is no such setting; did you mean listen?",
        "retention (RAS_RETENTION): is a section",
        "http.conections_max (RAS_HTTP__CONECTIONS_MAX): there is no such setting; did you mean \
         http.connections_max?",
        "http.read_timeout_seconds (RAS_HTTP__READ_TIMEOUT_SECONDS): allowed is a whole number",
        "cache.namespace (RAS_CACHE__NAMESPACE): ",
        "cache.ttl_jitter_percent (RAS_CACHE__TTL_JITTER_PERCENT): allowed are whole numbers from 0 \
         to 100",
        "cache.memory_megabytes (RAS_CACHE__MEMORY_MEGABYTES): allowed are whole numbers from 1",
        "cache.single_process (RAS_CACHE__SINGLE_PROCESS): allowed is true or false",
        "postgres.connections_max (RAS_POSTGRES__CONNECTIONS_MAX): allowed is a whole number",
        "kafka.group_id (RAS_KAFKA__GROUP_ID): allowed are 1 to 128 characters",
        "api.status_values (RAS_API__STATUS_VALUES): allowed is `client` or `internal`",
        "publish.skip_before (RAS_PUBLISH__SKIP_BEFORE): allowed is a time such as 2026-11-25T",
    ] {
        assert!(said.contains(expected), "{expected:?} in {said}");
    }
}

/// A file that is no TOML: the place of the error, and nothing of the file.
#[tokio::test]
async fn no_error_prints_a_line_of_the_file() {
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
        let (code, said) = file.check(&broken).await;
        assert_eq!(code, 1, "{broken}: {said}");
        assert!(said.contains(place), "{broken}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn file_that_cannot_be_read_and_number_that_is_too_large_are_told_for_what_they_are() {
    let file = SettingsFile::new();
    let (code, said) = file.check("[cache]\nmemory_megabytes = 18446744073709551615\n").await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("larger than 9223372036854775807"), "{said}");
    assert!(said.contains("settings.toml"), "{said}");

    for (path, expected) in [("/nowhere/x.toml", "No such file"), ("/", "directory")] {
        let (code, said) = run(program(&["settings", "--check", path])).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&format!("read {path}: ")) && said.contains(expected), "{said}");
    }
    let (code, said) = run(program(&["settings", "--check", "/dev/null"])).await;
    assert_eq!(code, 0, "a file need not be a regular one: {said}");
}

#[tokio::test]
async fn variable_with_one_underscore_behind_its_section_is_refused_with_the_right_one() {
    let check = program(&["settings", "--check", "/dev/null"]).env("RAS_CACHE_NAMESPACE", "x");
    let (code, said) = run(check).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("RAS_CACHE__NAMESPACE"), "{said}");
}

#[tokio::test]
async fn redis_url_of_another_kind_is_refused_without_its_password() {
    let url = format!("http://u:{SECRET}@host");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--redis-url", &url];
    let (code, said) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("redis_url") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn internal_api_key_with_spaces_or_too_few_characters_is_refused() {
    for key in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n", "0123456789abcdé"] {
        let serve = program(&["serve", "--listen", "127.0.0.1:0"]);
        let (code, said) = run(serve.env("RAS_INTERNAL_API_KEY", key)).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("16 to 512 visible ASCII"), "{said}");
        assert!(!said.contains("0123456789"), "{said}");
    }
}

fn embedded(data_dir: &Path) -> ProcessBuilder {
    program(&["serve", "--listen", "127.0.0.1:0"]).env("RAS_DATA_DIR", data_dir)
}

async fn started(builder: ProcessBuilder) -> (Process, String) {
    let process = builder.start().await;
    let line = process.wait_for_line("listening on ", PATIENCE).await;
    let base = line.rsplit(' ').next().unwrap().to_owned();
    (process, base)
}

#[tokio::test]
async fn allowed_services_are_separated_by_commas_or_a_json_list() {
    for list in ["one, two", r#"["one", "two"]"#] {
        let directory = tempfile::tempdir().unwrap();
        let builder = embedded(directory.path())
            .env("RAS_ALLOWED_SERVICES", list)
            .env("RAS_INTERNAL_API_KEY", KEY);
        let (_process, base) = started(builder).await;
        for (service, expected) in [("one", 200), ("two", 200), (list, 401)] {
            let answer = reqwest::Client::new()
                .get(format!("{base}/internal/v1/batches/user/teacher"))
                .header("X-Internal-API-Key", KEY)
                .header("X-Service-ID", service)
                .send();
            assert_eq!(answer.await.unwrap().status(), expected, "{service} of {list}");
        }
    }
}

#[tokio::test]
async fn embedded_start_says_so_first_and_names_the_variables_that_it_does_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let builder = embedded(directory.path())
        .env("KAFKA_BOOTSTRAP_SERVERS", SECRET)
        .env("HULEEDU_INTERNAL_API_KEY", SECRET)
        .env("RESULT_AGGREGATOR_SERVICE_DATABASE_URL", SECRET);
    let (process, _) = started(builder).await;
    process.wait_for_line("not read: ", PATIENCE).await;
    let lines = process.lines();
    let said = lines.join("\n");
    let first = lines.iter().find(|line| line.contains("INFO") || line.contains("WARN"));
    assert!(first.unwrap().contains("embedded mode: SQLite"), "{said}");
    assert_eq!(said.matches("set and not read:").count(), 1, "{said}");
    for expected in [
        "KAFKA_BOOTSTRAP_SERVERS (set RAS_KAFKA_BROKERS instead)",
        "HULEEDU_INTERNAL_API_KEY (set RAS_INTERNAL_API_KEY instead)",
        "RESULT_AGGREGATOR_SERVICE_DATABASE_URL (set RAS_DATABASE_URL instead)",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}
