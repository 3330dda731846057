//! `dead-letters`, on a running service.

use std::path::Path;

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use crate::crash::STEPS;
use crate::support::common::next_micros;
use crate::support::events::{registered, slot};
use crate::support::program::{program, run};
use crate::support::servers::Servers;
use crate::support::service::{Client, KEY, ServiceBuilder};

const TEACHER: &str = "teacher";
const BATCH: &str = "batch";

/// Runs `dead-letters` against this server. Gives the exit code and the output.
async fn dead_letters(client: &Client, arguments: &[&str]) -> (i32, String) {
    let server = ["--server", &client.base];
    let arguments = [&["dead-letters"], arguments, &server].concat();
    run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await
}

/// Runs `dead-letters`, which must succeed. Gives the output.
async fn succeed(client: &Client, arguments: &[&str]) -> String {
    let (code, output) = dead_letters(client, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {output}");
    output
}

/// The only dead letter there is.
async fn only_dead_letter(client: &Client) -> Value {
    let listed = succeed(client, &["list", "--json"]).await;
    serde_json::from_str(&listed).unwrap_or_else(|_| panic!("not one dead letter: {listed}"))
}

/// The file name of the batch's only essay, as the list shows it.
async fn file_listed(client: &Client) -> Value {
    let page = client.list(TEACHER, "").await;
    page.body["batches"][0]["essays"][0]["filename"].clone()
}

/// Makes an event a dead letter, by damaging the row that it changes.
async fn refuse_one(client: &Client, execute: &impl AsyncFn(&'static str), damage: &'static str) {
    client.post(&[registered(TEACHER, BATCH, 1, next_micros())]).await.unwrap();
    client.list(TEACHER, "").await;
    execute(damage).await;
    let file = slot(BATCH, 1, "essay.docx", next_micros());
    let report = client.post(&[file]).await.unwrap();
    assert_eq!(report["results"][0]["reason"]["code"], "unstorable", "{report}");
}

/// Repairs the row and replays the dead letter, as an operator would.
async fn show_repair(
    client: &Client,
    execute: impl AsyncFn(&'static str),
    damage: &'static str,
    repair: &'static str,
) {
    refuse_one(client, &execute, damage).await;
    let dead_letter = only_dead_letter(client).await;
    assert_eq!(dead_letter["code"], "unstorable");
    let id = &dead_letter["id"].to_string();
    let shown = succeed(client, &["show", id]).await;
    assert!(shown.contains(&format!("dead-letters replay {id}")), "{shown}");

    let (code, output) = dead_letters(client, &["replay", "--code", "unstorable"]).await;
    assert_eq!(code, 1, "not repaired yet: {output}");
    assert!(output.contains(&format!("{id}: refused again: unstorable: ")), "{output}");
    assert!(output.contains("0 applied, 0 duplicate, 1 refused again, 0 gone"), "{output}");
    assert_eq!(only_dead_letter(client).await["id"], dead_letter["id"], "it is stored once");

    execute(repair).await;
    assert_eq!(file_listed(client).await, Value::Null);
    assert!(client.list(TEACHER, "").await.is_hit(), "it is cached");
    let output = succeed(client, &["replay", id]).await;
    assert!(output.contains("1 applied, 0 duplicate, 0 refused again, 0 gone"), "{output}");
    assert_eq!(file_listed(client).await, "essay.docx", "the very next read shows it");

    let output = succeed(client, &["replay", id]).await;
    assert!(output.contains("0 applied, 0 duplicate, 0 refused again, 1 gone"), "{output}");
    assert_eq!(succeed(client, &["list"]).await, "no dead letters, or none that match");
    let (code, output) = dead_letters(client, &["show", id]).await;
    assert_eq!(code, 1);
    assert!(output.contains("error: the server answered 404: Dead letter not found: "), "{output}");
}

async fn on_file(path: &Path, statement: &'static str) {
    let mut file = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query(statement).execute(&mut file).await.unwrap();
}

#[tokio::test]
async fn replay_after_repair_is_visible_in_next_read_embedded() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let path = directory.path().join("results.sqlite3");
    let damage = "update batches set state = '[' || state || ']'";
    let repair = "update batches set state = substr(state, 2, length(state) - 2)";
    show_repair(&service.client, async |sql| on_file(&path, sql).await, damage, repair).await;
}

const DAMAGE: &str = "update batches set state = json_build_array(state)";
const REPAIR: &str = "update batches set state = state -> 0";

#[tokio::test]
async fn replay_after_repair_is_visible_in_next_read_on_real_servers() {
    let servers = Servers::new().await;
    let service = servers.replica().await;
    let execute = async |sql| drop(servers.psql(sql).await);
    show_repair(&service.client, execute, DAMAGE, REPAIR).await;
}

/// After a kill -9 during a replay the dead letter is still there. Replayed again, it is applied once.
#[tokio::test]
async fn killed_during_replay_event_is_applied_once_after_second_replay() {
    for step in STEPS {
        let servers = Servers::new().await;
        let steady = servers.replica().await;
        let execute = async |sql| drop(servers.psql(sql).await);
        refuse_one(&steady.client, &execute, DAMAGE).await;
        execute(REPAIR).await;
        let id = only_dead_letter(&steady.client).await["id"].to_string();

        let doomed = servers.builder().pausing_at(step).start().await;
        let arguments = ["dead-letters", "replay", &id, "--server", &doomed.client.base];
        let replay = program(&arguments).env("RAS_INTERNAL_API_KEY", KEY).start().await;
        doomed.kill_at(step).await;
        replay.kill().await;

        assert_eq!(only_dead_letter(&steady.client).await["id"].to_string(), id, "killed {step}");
        let output = succeed(&steady.client, &["replay", &id]).await;
        let outcome = if step == "before-commit" { "1 applied, 0" } else { "0 applied, 1" };
        assert!(output.contains(outcome), "killed {step}: {output}");
        assert_eq!(file_listed(&steady.client).await, "essay.docx", "killed {step}");
        assert_eq!(servers.count("inbox").await, 2, "killed {step}");
        assert_eq!(servers.count("dead_letters").await, 0, "killed {step}");
    }
}

/// More dead letters than fit into one page; some of them are discarded.
#[tokio::test]
async fn many_dead_letters_are_listed_replayed_and_discarded() {
    const DEAD_LETTERS: usize = 1_100;
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    let mut body: String = (0..DEAD_LETTERS).map(|n| format!("{{{n}\n")).collect();
    body.push_str("{}\n\"\u{1b}]0;title\u{7}\"\n");
    client.post_bytes("application/x-ndjson", body.into_bytes()).await.unwrap();
    let all = DEAD_LETTERS + 2;

    let listed = succeed(client, &["list"]).await;
    assert_eq!(listed.lines().count(), 51, "{listed}");
    assert!(listed.ends_with("there are more: --after 50"), "{listed}");
    let listed = succeed(client, &["list", "--json", "--limit", "100000"]).await;
    assert_eq!(listed.lines().count(), all);
    let listed = succeed(client, &["list", "--code", "invalid_field"]).await;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let last = all.to_string();
    let shown = succeed(client, &["show", &last]).await;
    assert!(shown.contains("\\u{1b}]0;title\\u{7}") && !shown.contains('\u{1b}'), "{shown}");

    let (code, output) =
        dead_letters(client, &["replay", "--all", "--until", "2000-01-01T00:00:00Z"]).await;
    assert_eq!(code, 0, "none is that old: {output}");
    let (code, output) = dead_letters(client, &["replay", "--all"]).await;
    assert_eq!(code, 1);
    assert!(
        output.contains(&format!("0 applied, 0 duplicate, {all} refused again, 0 gone")),
        "{output}"
    );
    assert_eq!(output.matches(": refused again: ").count(), all);

    let (code, output) = dead_letters(client, &["discard", "--code", "not_json"]).await;
    assert_eq!(code, 1);
    let asked = format!("{} dead letters match; say --yes", all - 1);
    assert!(output.contains(&asked), "{output}");
    let output = succeed(client, &["discard", "--code", "not_json", "--yes"]).await;
    assert_eq!(output, format!("{} discarded, 0 gone", all - 1));
    let rest = only_dead_letter(client).await["id"].to_string();
    assert_eq!(succeed(client, &["discard", &rest, &last]).await, "1 discarded, 1 gone");
    assert_eq!(succeed(client, &["drop", "--all"]).await, "0 discarded, 0 gone", "the former name");
}

#[tokio::test]
async fn invalid_requests_are_answered_with_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let check = async |arguments: &[&str], expected: &str| {
        let (code, output) = dead_letters(&service.client, arguments).await;
        assert_ne!(code, 0, "{arguments:?}: {output}");
        assert!(output.contains(expected), "{arguments:?}: {output}");
    };
    check(&["replay"], "say which: by their ids, by filters such as --code, or --all").await;
    check(&["discard", "--yes"], "say which").await;
    check(&["discard", "1", "--all"], "cannot be used with").await;
    check(&["list", "--code", "not_jason"], "not_json").await;
    check(&["list", "--from", "yesterday"], "not an RFC 3339 date and time").await;
    check(&["show", "0"], "Invalid parameter: id: not a whole number from 1 on").await;
    check(&["show", "1"], "Dead letter not found").await;

    let unreachable = Client::new("http://127.0.0.1:1".to_owned());
    let (code, output) = dead_letters(&unreachable, &["list"]).await;
    assert_eq!(code, 1);
    assert!(output.contains("no answer from http://127.0.0.1:1"), "{output}");
    let arguments = ["dead-letters", "list", "--server", &service.client.base];
    let (code, output) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", "wrong")).await;
    assert_eq!(code, 1);
    assert!(output.contains("the server answered 401: Invalid credentials: "), "{output}");
    let (_, output) = run(program(&["dead-letters", "replay", "--help"])).await;
    assert!(output.contains("dead-letters replay --code unstorable"), "{output}");
}
