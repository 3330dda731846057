//! Programs that measure: runs one, and puts the blocks that it prints into a document.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail};

use crate::paths;
use crate::report::Report;
use crate::shell::{self, cargo};

/// The lines that begin and end a block, both in the output of a program and in a document.
const BEGIN: &str = "<!-- measured:";
const END: &str = "<!-- /measured -->";

/// An example of a crate that measures, and the variables that it needs.
pub(crate) struct Program<'a> {
    pub(crate) package: &'a str,
    pub(crate) example: &'a str,
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
}

/// Shows the output of the program, and returns it.
pub(crate) fn run(report: &Report, program: Program<'_>) -> anyhow::Result<String> {
    let Program { package, example, variables } = program;
    let mut program = cargo();
    program.args(["run", "--release", "--package", package, "--example", example]);
    program.envs(variables).stdout(Stdio::piped());
    report.step(shell::line(&program));
    let mut running = program.spawn().context("run cargo")?;
    let output = running.stdout.take().context("the output of cargo")?;
    let mut measured = String::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("read the output of cargo")?;
        println!("{line}");
        measured.push_str(&line);
        measured.push('\n');
    }
    let status = running.wait().context("wait for cargo")?;
    if !status.success() {
        bail!("`{}` failed ({status})", shell::line(&program));
    }
    Ok(measured)
}

/// Puts the measured blocks into the document at `path`, below the root of the repository.
pub(crate) fn write(report: &Report, path: &str, measured: &str) -> anyhow::Result<()> {
    let file = paths::root().join(path);
    let document = fs::read_to_string(&file).with_context(|| format!("read {path}"))?;
    fs::write(&file, splice(&document, measured)?).with_context(|| format!("write {path}"))?;
    report.step(format_args!("wrote {path}"));
    Ok(())
}

/// The document with each of its blocks replaced by the measured one of the same name.
fn splice(document: &str, measured: &str) -> anyhow::Result<String> {
    let mut spliced = String::new();
    let mut rest = document;
    while let Some(start) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(start);
        let (old, after) = block.split_once(END).context("a block without its end")?;
        let head = old.lines().next().unwrap_or_default();
        let new = measured
            .split_once(head)
            .and_then(|(_, after)| after.split_once(END))
            .with_context(|| format!("nothing measured for {head}"))?;
        spliced.extend([before, head, new.0, END]);
        rest = after;
    }
    spliced.push_str(rest);
    let names = measured.lines().filter(|line| line.starts_with(BEGIN));
    for name in names {
        if !document.contains(name) {
            bail!("the document has no place for {name}");
        }
    }
    Ok(spliced)
}

#[cfg(test)]
mod tests {
    use super::splice;

    const DOCUMENT: &str = "a\n<!-- measured:x -->\n\nold\n\n<!-- /measured -->\nb\n";

    #[test]
    fn splice_replaces_blocks_only() {
        let measured = "seed\n<!-- measured:x -->\n\n| new |\n\n<!-- /measured -->\n";
        let expected = DOCUMENT.replace("old", "| new |");
        assert_eq!(splice(DOCUMENT, measured).unwrap(), expected);
        assert_eq!(splice(&expected, measured).unwrap(), expected, "again");
    }

    #[test]
    fn block_that_only_one_side_has_is_an_error() {
        let error = splice(DOCUMENT, "").unwrap_err().to_string();
        assert!(error.contains("nothing measured for <!-- measured:x -->"), "{error}");
        let measured = "<!-- measured:y -->\n1\n<!-- /measured -->\n";
        let error = splice("no block", measured).unwrap_err().to_string();
        assert!(error.contains("no place for <!-- measured:y -->"), "{error}");
    }
}
