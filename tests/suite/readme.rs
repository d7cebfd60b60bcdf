//! What README says of the suite.

use std::fs;

use libtest_mimic::Trial;
use netcheck::workspace;

use crate::{AS_ROOT, trial};

/// `trials` are all others.
pub(crate) fn trials(trials: &[Trial]) -> Vec<Trial> {
    let as_root = trials.iter().filter(|trial| trial.name().contains(AS_ROOT)).count();
    vec![trial("readme::says_how_many_tests_take_root".to_owned(), move || {
        let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
        let said = format!("{as_root} tests of the suite take root");
        assert!(readme.contains(&said), "README does not say: {said}");
        Ok(())
    })]
}
