//! Every case, made and printed.

use super::*;
use crate::args::Wanted;
use crate::make;
use std::collections::BTreeSet;

#[test]
fn every_case_makes_its_error_in_lines_that_fit_a_screen() {
    for case in &CASES {
        let failed = make(case.errno).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(failed.errno, case.errno, "{}", case.name);
        for line in case.text(&failed).lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.len());
        }
        assert!(failed.here.starts_with(case.call), "{}: {}", case.call, failed.here);
    }
}

#[test]
fn names_and_errors_are_all_different() {
    let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    let errors: BTreeSet<i32> = CASES.iter().map(|case| case.errno as i32).collect();
    assert_eq!((names.len(), errors.len()), (12, 12));
    assert!("refused".parse::<Wanted>().is_ok() && "Refused".parse::<Wanted>().is_err());
}
