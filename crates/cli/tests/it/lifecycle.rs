//! Start of an embedded service: its key, its data directory, its address.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::program::{program, run};
use crate::support::service::{Client, KEY, ServiceBuilder};

#[tokio::test]
async fn acknowledged_event_survives_kill_and_restart() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    service.client.post(&[registered("teacher", "batch", 1, next_micros())]).await.unwrap();
    service.process.kill().await;
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
}

#[tokio::test]
async fn embedded_key_is_generated_and_printed_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path];
    let mut keys = Vec::new();
    for is_first in [true, false] {
        let process = program(&arguments).start().await;
        process.wait_for_line("listening on ", TIMEOUT).await;
        assert_private(directory.path());
        keys.push(fs::read_to_string(directory.path().join("internal-api-key")).unwrap());
        process.interrupt().await;
        assert!(process.wait(TIMEOUT).await.success(), "SIGINT is a graceful stop");
        let is_printed = process.lines().join("\n").contains("made an internal API key");
        assert_eq!(is_printed, is_first);
    }
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].trim().len() >= 32);
}

/// Only the user of the service can read the files of the data directory.
#[track_caller]
fn assert_private(data_dir: &Path) {
    for entry in fs::read_dir(data_dir).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn data_directory_readable_by_others_is_reported_with_chmod_command() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let service = ServiceBuilder::embedded(&path).start().await;
    let line = service.process.wait_for_line("other users can access", TIMEOUT).await;
    assert!(line.contains(&format!("chmod 700 '{}'", path.display())), "{line}");
}

/// `RAS_DATA_DIR` is read by the server and by its clients.
#[tokio::test]
async fn client_finds_key_of_embedded_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let list = async |base: &str| {
        let arguments = ["dead-letters", "list", "--server", base];
        run(program(&arguments).env("RAS_DATA_DIR", path)).await
    };
    let (code, output) = list("http://127.0.0.1:1").await;
    assert_eq!(code, 1, "{output}");
    let expected = "no key: give --api-key or RAS_INTERNAL_API_KEY, or --data-dir of an embedded \
                    server (tried ";
    assert!(output.contains(expected) && output.contains(path), "{output}");

    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path];
    let process = program(&arguments).start().await;
    let line = process.wait_for_line("listening on ", TIMEOUT).await;
    let (code, output) = list(line.rsplit(' ').next().unwrap()).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("no dead letters"), "{output}");
}

/// Two processes would have two caches for one database.
#[tokio::test]
async fn second_process_on_same_data_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let first = ServiceBuilder::embedded(directory.path()).start().await;
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", path];
    let (code, output) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("another process uses"), "{output}");
    first.process.kill().await;
    ServiceBuilder::embedded(directory.path()).start().await;
}

#[tokio::test]
async fn taken_port_is_an_error_that_names_the_listen_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (code, output) = run(program(&["serve", "--listen", &address, "--data-dir", path])).await;
    assert_eq!(code, 1);
    assert!(output.contains(&address) && output.contains("--listen"), "{output}");
}

/// Settings come from the defaults, a file, variables and flags; the later source wins.
#[tokio::test]
async fn flag_overrides_variable_and_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.toml");
    fs::write(&file, "listen = \"127.0.0.1:1\"\n[http]\nconnections_max = 3\n").unwrap();
    let serve = ["serve", "--config", file.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let process = program(&serve)
        .env("RAS_DATA_DIR", directory.path().join("data"))
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_LISTEN", "127.0.0.1:2")
        .start()
        .await;
    let line = process.wait_for_line("listening on ", TIMEOUT).await;
    let client = Client::new(line.rsplit(' ').next().unwrap().to_owned());
    assert_eq!(client.list("teacher", "").await.total(), 0);
}
