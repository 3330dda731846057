//! Programs run, have their output read, and obey signals.

use std::os::unix::process::ExitStatusExt;

use testkit::Process;

use crate::SOON;

fn shell(script: &str) -> testkit::ProcessBuilder {
    Process::builder("sh").args(["-c", script])
}

#[tokio::test]
async fn process_has_the_lines_of_both_outputs_and_the_exit_code() {
    let process = shell("echo one; echo $WORD >&2; printf last; exit 3").env("WORD", "two");
    let process = process.start().await;
    assert_eq!(process.wait_for_line("wo", SOON).await, "two");
    assert_eq!(process.wait(SOON).await.code(), Some(3));
    assert_eq!(process.lines(), ["one", "two", "last"]);
}

#[tokio::test]
async fn terminated_program_ends_by_itself() {
    let process = shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    let process = process.start().await;
    process.wait_for_line("ready", SOON).await;
    process.terminate().await;
    assert_eq!(process.wait(SOON).await.code(), Some(0));
    assert_eq!(process.lines(), ["ready", "bye"]);
}

#[tokio::test]
async fn paused_program_can_be_killed() {
    let process = shell("echo ready; exec sleep 1000").start().await;
    process.wait_for_line("ready", SOON).await;
    process.pause().await;
    assert!(process.is_running());
    process.kill().await;
    assert_eq!(process.wait(SOON).await.signal(), Some(9));
    assert!(!process.is_running());
}

#[tokio::test]
async fn resumed_program_continues() {
    let process = shell("echo ready; while [ ! -e /nowhere ]; do echo tick; sleep 0.01; done");
    let process = process.start().await;
    process.wait_for_line("tick", SOON).await;
    process.pause().await;
    let seen = process.lines().len();
    process.resume().await;
    testkit::eventually(SOON, "more ticks", async || process.lines().len() > seen + 2).await;
}

#[tokio::test]
async fn dropped_program_is_killed() {
    let process = shell("exec sleep 1000").start().await;
    let id = rustix::process::Pid::from_raw(process.id().try_into().unwrap()).unwrap();
    drop(process);
    assert!(rustix::process::test_kill_process(id).is_err());
}

#[tokio::test]
async fn missing_program_ends_at_once() {
    let process = Process::builder("/nowhere/program").start().await;
    assert_eq!(process.wait(SOON).await.code(), Some(127));
}
