//! Dead letters as an operator has them: the command, on running servers.

use std::path::Path;

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use crate::crash::STEPS;
use crate::events::{registered, slot};
use crate::lifecycle::{program, run};
use crate::servers::Servers;
use crate::service::{Client, KEY, ServiceBuilder};
use crate::tools::next_moment;

const TEACHER: &str = "teacher";
const BATCH: &str = "batch";

/// Runs `dead-dead_letters` against this server; gives the exit code and what was said.
async fn dead_letters(client: &Client, arguments: &[&str]) -> (i32, String) {
    let server = ["--server", &client.base];
    let arguments = [&["dead-letters"], arguments, &server].concat();
    run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await
}

/// The same; nothing may be left to complain about.
async fn done(client: &Client, arguments: &[&str]) -> String {
    let (code, said) = dead_letters(client, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {said}");
    said
}

/// The only dead letter there is.
async fn only_dead_letter(client: &Client) -> Value {
    let listed = done(client, &["list", "--json"]).await;
    serde_json::from_str(&listed).unwrap_or_else(|_| panic!("not one letter: {listed}"))
}

/// The file name of the batch's only essay, as the list shows it.
async fn file_listed(client: &Client) -> Value {
    let page = client.list(TEACHER, "").await;
    page.body["batches"][0]["essays"][0]["filename"].clone()
}

/// Makes an event a dead letter: nobody can read the row that it is about.
async fn refuse_one(client: &Client, execute: &impl AsyncFn(&'static str), damage: &'static str) {
    client.post(&[registered(TEACHER, BATCH, 1, next_moment())]).await.unwrap();
    client.list(TEACHER, "").await;
    execute(damage).await;
    let file = slot(BATCH, 1, "essay.docx", next_moment());
    let report = client.post(&[file]).await.unwrap();
    assert_eq!(report["results"][0]["reason"]["code"], "unstorable", "{report}");
}

/// What an operator does about it, and what is seen of that.
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
    let shown = done(client, &["show", id]).await;
    assert!(shown.contains(&format!("dead-letters replay {id}")), "{shown}");

    let (code, said) = dead_letters(client, &["replay", "--code", "unstorable"]).await;
    assert_eq!(code, 1, "not mended yet: {said}");
    assert!(said.contains(&format!("{id}: refused again: unstorable: ")), "{said}");
    assert!(said.contains("0 applied, 0 duplicates, 1 refused again, 0 gone"), "{said}");
    assert_eq!(only_dead_letter(client).await["id"], dead_letter["id"], "it is kept once");

    execute(repair).await;
    assert_eq!(file_listed(client).await, Value::Null);
    assert!(client.list(TEACHER, "").await.is_hit(), "it is cached");
    let said = done(client, &["replay", id]).await;
    assert!(said.contains("1 applied, 0 duplicates, 0 refused again, 0 gone"), "{said}");
    assert_eq!(file_listed(client).await, "essay.docx", "the very next read shows it");

    let said = done(client, &["replay", id]).await;
    assert!(said.contains("0 applied, 0 duplicates, 0 refused again, 1 gone"), "{said}");
    assert_eq!(done(client, &["list"]).await, "no dead letters, or none that match");
    let (code, said) = dead_letters(client, &["show", id]).await;
    assert_eq!(code, 1);
    assert!(said.contains("error: the server answered 404: Dead letter not found: "), "{said}");
}

async fn on_file(path: &Path, statement: &'static str) {
    let mut file = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query(statement).execute(&mut file).await.unwrap();
}

#[tokio::test]
async fn what_was_mended_is_replayed_and_seen_at_once_embedded() {
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
async fn what_was_mended_is_replayed_and_seen_at_once_on_real_servers() {
    let servers = Servers::new().await;
    let service = servers.replica().await;
    let execute = async |sql| drop(servers.psql(sql).await);
    show_repair(&service.client, execute, DAMAGE, REPAIR).await;
}

/// kill -9 while a dead letter is replayed: it is still there, and replayed again it is applied once.
#[tokio::test]
async fn killed_during_a_replay_that_is_then_repeated() {
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
        let said = done(&steady.client, &["replay", &id]).await;
        let outcome = if step == "before-commit" { "1 applied, 0" } else { "0 applied, 1" };
        assert!(said.contains(outcome), "killed {step}: {said}");
        assert_eq!(file_listed(&steady.client).await, "essay.docx", "killed {step}");
        assert_eq!(servers.count("inbox").await, 2, "killed {step}");
        assert_eq!(servers.count("dead_letters").await, 0, "killed {step}");
    }
}

/// More dead letters than one page has; some are dropped, what stays is right.
#[tokio::test]
async fn many_dead_letters_are_listed_replayed_and_dropped() {
    const DEAD_LETTERS: usize = 1_100;
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    let mut body: String = (0..DEAD_LETTERS).map(|n| format!("{{{n}\n")).collect();
    body.push_str("{}\n\"\u{1b}]0;title\u{7}\"\n");
    client.post_bytes("application/x-ndjson", body.into_bytes()).await.unwrap();
    let all = DEAD_LETTERS + 2;

    let listed = done(client, &["list"]).await;
    assert_eq!(listed.lines().count(), 51, "{listed}");
    assert!(listed.ends_with("there are more: --after 50"), "{listed}");
    let listed = done(client, &["list", "--json", "--limit", "100000"]).await;
    assert_eq!(listed.lines().count(), all);
    let listed = done(client, &["list", "--code", "invalid_field"]).await;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let last = all.to_string();
    let shown = done(client, &["show", &last]).await;
    assert!(shown.contains("\\u{1b}]0;title\\u{7}") && !shown.contains('\u{1b}'), "{shown}");

    let (code, said) =
        dead_letters(client, &["replay", "--all", "--until", "2000-01-01T00:00:00Z"]).await;
    assert_eq!(code, 0, "none is that old: {said}");
    let (code, said) = dead_letters(client, &["replay", "--all"]).await;
    assert_eq!(code, 1);
    assert!(
        said.contains(&format!("0 applied, 0 duplicates, {all} refused again, 0 gone")),
        "{said}"
    );
    assert_eq!(said.matches(": refused again: ").count(), all);

    let (code, said) = dead_letters(client, &["drop", "--code", "not_json"]).await;
    assert_eq!(code, 1);
    let asked = format!("{} dead letters match; say --yes", all - 1);
    assert!(said.contains(&asked), "{said}");
    let said = done(client, &["drop", "--code", "not_json", "--yes"]).await;
    assert_eq!(said, format!("{} dropped, 0 gone", all - 1));
    let rest = only_dead_letter(client).await["id"].to_string();
    assert_eq!(done(client, &["drop", &rest, &last]).await, "1 dropped, 1 gone");
    assert_eq!(done(client, &["drop", "--all"]).await, "0 dropped, 0 gone");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let check = async |arguments: &[&str], expected: &str| {
        let (code, said) = dead_letters(&service.client, arguments).await;
        assert_ne!(code, 0, "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(&["replay"], "say which: by their ids, by filters such as --code, or --all").await;
    check(&["drop", "--yes"], "say which").await;
    check(&["drop", "1", "--all"], "cannot be used with").await;
    check(&["list", "--code", "not_jason"], "not_json").await;
    check(&["list", "--from", "yesterday"], "not an RFC 3339 date and time").await;
    check(&["show", "0"], "Invalid parameter: id: not a whole number from 1 on").await;
    check(&["show", "1"], "Dead letter not found").await;

    let nobody = Client::new("http://127.0.0.1:1".to_owned());
    let (code, said) = dead_letters(&nobody, &["list"]).await;
    assert_eq!(code, 1);
    assert!(said.contains("no answer from http://127.0.0.1:1"), "{said}");
    let arguments = ["dead-letters", "list", "--server", &service.client.base];
    let (code, said) = run(program(&arguments).env("RAS_INTERNAL_API_KEY", "wrong")).await;
    assert_eq!(code, 1);
    assert!(said.contains("the server answered 401: Invalid credentials: "), "{said}");
    let (_, said) = run(program(&["dead-letters", "replay", "--help"])).await;
    assert!(said.contains("dead-letters replay --code unstorable"), "{said}");
}
