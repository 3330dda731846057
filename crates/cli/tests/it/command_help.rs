//! Help outside of the program: completions of shells, and manual pages.

use std::fs;

use testkit::Process;

use crate::support::common::TIMEOUT;
use crate::support::program::{program, run};

/// Every command, but for `help`.
const COMMANDS: [&str; 12] = [
    "serve",
    "doctor",
    "replay",
    "dead-letters",
    "cache",
    "simulate",
    "demo",
    "health",
    "settings",
    "completions",
    "man",
    "openapi",
];

#[tokio::test]
async fn help_has_every_command() {
    let (code, text) = run(program(&["--help"])).await;
    assert_eq!(code, 0);
    let commands = text.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: Vec<_> =
        commands.filter(|command| !["", "help", "-h,", "-V,"].contains(command)).collect();
    assert_eq!(commands, COMMANDS, "{text}");
}

#[tokio::test]
async fn every_shell_has_a_script_with_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script) = run(program(&["completions", shell])).await;
        assert_eq!(code, 0, "{script}");
        for command in COMMANDS {
            assert!(script.contains(command), "{command} in the script of {shell}");
        }
    }
    let (code, text) = run(program(&["completions", "cmd"])).await;
    assert_eq!(code, 2);
    assert!(text.contains("bash") && text.contains("fish"), "what is allowed: {text}");
}

#[tokio::test]
async fn bash_completes_commands_and_flags() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("script");
    let (_, script) = run(program(&["completions", "bash"])).await;
    fs::write(&path, script).unwrap();
    for (typed, expected) in [("doc", "doctor"), ("serve --kaf", "--kafka-brokers")] {
        let words = format!("result-aggregator {typed}");
        let last = words.split(' ').count() - 1;
        let complete = format!(
            "source {}; registered=$(complete -p result-aggregator); \
             function=${{registered#*-F }}; COMP_WORDS=({words}); COMP_CWORD={last}; \
             \"${{function%% *}}\" result-aggregator \"${{COMP_WORDS[-1]}}\" \"\"; \
             echo \"${{COMPREPLY[@]}}\"",
            path.display()
        );
        let bash = Process::builder("bash").args(["-c", &complete]).start().await;
        assert!(bash.wait(TIMEOUT).await.success(), "{:?}", bash.lines());
        assert_eq!(bash.lines(), [expected], "{typed}");
    }
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let files = tempfile::tempdir().unwrap();
    let directory = files.path().join("man/man1");
    let (code, text) = run(program(&["man", directory.to_str().unwrap()])).await;
    assert_eq!(code, 0, "{text}");
    let page = |name: &str| {
        let path = directory.join(format!("{name}.1"));
        fs::read_to_string(&path).unwrap_or_else(|_| panic!("{}", path.display()))
    };
    assert!(page("result-aggregator").contains(".SH SUBCOMMANDS"));
    for command in COMMANDS {
        let page = page(&format!("result-aggregator-{command}"));
        assert!(page.contains(".SH SYNOPSIS"), "{command}: {page}");
    }
    assert!(page("result-aggregator-doctor").contains("Exit codes"));

    fs::write(files.path().join("file"), "").unwrap();
    let not_a_directory = files.path().join("file/man1");
    let (code, text) = run(program(&["man", not_a_directory.to_str().unwrap()])).await;
    assert_eq!(code, 1);
    assert!(text.contains("file/man1"), "{text}");
}
