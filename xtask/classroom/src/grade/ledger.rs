//! `results.jsonl`: a line for each submission, written when it has been judged. What was judged before is not
//! judged again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::report::Report;
use xtask::Failure;

/// How far a submission has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// All checks were made.
    Checked,
    /// The compiler makes no program of it.
    BuildError,
    /// What is there is not taken.
    NotTaken,
    /// There is nothing.
    NotSubmitted,
    /// This machine failed: nothing is known, and there are no points, not even none.
    NotGraded,
}

/// What a submission came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Graded {
    /// As the folder is called, escaped.
    pub(crate) student: String,
    pub(crate) exercise: String,
    pub(crate) state: State,
    pub(crate) points: u32,
    pub(crate) of: u32,
    pub(crate) seed: u64,
    /// Of what was judged, and by which checks.
    pub(crate) digest: u64,
    pub(crate) seconds: f64,
    /// Of the largest process, in KiB.
    pub(crate) memory: u64,
    /// Why it is not taken or not graded; what the compiler says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// What was not taken, beside what was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<String>,
    pub(crate) checks: Vec<Marked>,
}

/// A check of it, and what it is worth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Marked {
    pub(crate) points: u32,
    pub(crate) of: u32,
    #[serde(flatten)]
    pub(crate) report: Report,
}

/// The file, and what it has.
pub(crate) struct Ledger {
    file: File,
    path: String,
    known: BTreeMap<(String, String), Graded>,
}

impl Ledger {
    /// Opens it, or makes it. A last line that was not written to its end is removed.
    ///
    /// # Errors
    /// It cannot be read or written, or another one writes to it.
    pub(crate) fn open(folder: &Path) -> Result<Ledger, Failure> {
        let path = folder.join("results.jsonl");
        let failed = |what: &str| Failure::file(format!("{what} {}", path.display()));
        fs::create_dir_all(folder)
            .map_err(Failure::file(format_args!("make {}", folder.display())))?;
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(failed("open"))?;
        if file.try_lock().is_err() {
            return Err(Failure::Usage(format!("{}: another grade writes to it", path.display())));
        }
        let text = fs::read(&path).map_err(failed("read"))?;
        let (mut known, mut whole) = (BTreeMap::new(), 0);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let Ok(graded) = serde_json::from_slice::<Graded>(line) else { break };
            if !line.ends_with(b"\n") {
                break;
            }
            whole += line.len() as u64;
            known.insert((graded.student.clone(), graded.exercise.clone()), graded);
        }
        file.set_len(whole).map_err(failed("cut"))?;
        file.seek(SeekFrom::End(0)).map_err(failed("seek in"))?;
        Ok(Ledger { file, path: path.display().to_string(), known })
    }

    /// What is known of that submission, if it was judged to its end and has not changed.
    pub(crate) fn known(&self, student: &str, exercise: &str, digest: u64) -> Option<&Graded> {
        let found = self.known.get(&(student.to_owned(), exercise.to_owned()))?;
        (found.digest == digest && found.state != State::NotGraded).then_some(found)
    }

    /// Writes what a submission came to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn add(&mut self, graded: &Graded) -> Result<(), Failure> {
        let failed = || Failure::file(format!("write {}", self.path));
        let mut line = serde_json::to_string(graded).map_err(|why| failed()(why.into()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graded(student: &str, digest: u64) -> Graded {
        Graded {
            student: student.to_owned(),
            exercise: "no-zombies".to_owned(),
            state: State::Checked,
            points: 6,
            of: 10,
            seed: 1,
            digest,
            seconds: 2.5,
            memory: 1,
            message: String::new(),
            left: Vec::new(),
            checks: Vec::new(),
        }
    }

    #[test]
    fn a_line_that_was_not_written_to_its_end_is_judged_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        ledger.add(&graded("a", 1)).unwrap();
        ledger.add(&graded("b", 2)).unwrap();
        drop(ledger);
        let path = folder.path().join("results.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 1]).unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        let known = |ledger: &Ledger, student, digest| {
            ledger.known(student, "no-zombies", digest).is_some()
        };
        assert!(known(&ledger, "a", 1));
        assert!(!known(&ledger, "a", 2), "it has changed");
        assert!(!known(&ledger, "b", 2), "its line is cut");
        ledger.add(&graded("b", 2)).unwrap();
        drop(ledger);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn one_grade_at_a_time_writes() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Ledger::open(folder.path()).unwrap();
        assert!(matches!(Ledger::open(folder.path()), Err(Failure::Usage(_))));
    }
}
