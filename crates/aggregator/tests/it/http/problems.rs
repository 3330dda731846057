//! The codes of problems: the table in the code is the one in the documentation.

use std::collections::BTreeSet;

use aggregator::http::problem::ProblemCode;
use projection::RefusalCode;

const DOCUMENT: &str = include_str!("../../../../../docs/operations.md");

/// Refused by earlier builds alone; dead letters may still carry it.
const NO_LONGER_GIVEN: RefusalCode = RefusalCode::UnexpectedEventType;

#[test]
fn documentation_lists_every_code_with_its_status_and_no_other() {
    let (_, section) = DOCUMENT.split_once("### Problems").unwrap();
    let section = section.split("\n#").next().unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let status = cells.get(1)?.parse::<u16>().ok()?;
        Some((status, cells.get(2)?.trim_matches('`').to_owned()))
    };
    let listed: BTreeSet<_> = section.lines().filter_map(row).collect();
    let known = ProblemCode::ALL.iter();
    let known = known.map(|code| (code.status().as_u16(), code.as_str().to_owned()));
    assert_eq!(listed, known.collect());

    let (_, refusals) = section.split_once("answers 422 with the code of the refusal:").unwrap();
    let listed: BTreeSet<_> = refusals.split('`').skip(1).step_by(2).collect();
    let given = RefusalCode::ALL.iter().filter(|code| **code != NO_LONGER_GIVEN);
    assert_eq!(listed, given.map(|code| code.as_str()).collect());
}

#[test]
fn problem_codes_are_unique() {
    let codes: BTreeSet<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), ProblemCode::ALL.len());
}
