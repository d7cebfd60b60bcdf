//! Where an exercise is being worked on, and how far it has come.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::task::Task;
use xtask::Failure;

/// What the last check found, and which hints were given: `.exercise.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) points: u32,
    /// The checks that failed, in their order.
    pub(crate) failed: Vec<String>,
    /// Whether every check passed.
    pub(crate) done: bool,
    /// How many hints of a check were given.
    #[serde(default)]
    pub(crate) hints: BTreeMap<String, usize>,
}

/// The exercise and its folder: that folder, `ID` beside the one that we are in, or without a name the one
/// that we are in.
pub(crate) fn find(id: Option<&str>) -> Result<(Task, PathBuf), Failure> {
    let here = env::current_dir().map_err(Failure::file("find the current folder"))?;
    let own = here.ancestors().find_map(|folder| Some((folder, exercise_in(folder)?)));
    let Some(id) = id else {
        let (folder, id) = own.ok_or_else(|| {
            Failure::Usage(
                "give the name of an exercise, or be in the folder that `start` made".to_owned(),
            )
        })?;
        return Ok((Task::find(&id)?, folder.to_owned()));
    };
    // It may have been renamed.
    if let Some(found) = exercise_in(&here.join(id)) {
        return Ok((Task::find(&found)?, here.join(id)));
    }
    let task = Task::find(id)?;
    let own = own.map(|(folder, _)| folder);
    let beside = own.and_then(Path::parent).map(|parent| parent.join(id));
    let places = [own.map(Path::to_owned), beside];
    let is_there = |folder: &PathBuf| exercise_in(folder).is_some_and(|found| found == id);
    match places.into_iter().flatten().find(is_there) {
        Some(folder) => Ok((task, folder)),
        None => Err(Failure::Usage(format!(
            "no exercise in ./{id}: `cargo xtask exercise start {id}` makes it (if it is in another folder, \
             name that)"
        ))),
    }
}

impl Progress {
    pub(crate) fn save(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|why| Failure::Broken(why.to_string()))?;
        fs::write(&path, text + "\n")
            .map_err(Failure::file(format_args!("write {}", path.display())))
    }
}

const FILE: &str = ".exercise.json";

/// What is known of the exercise in that folder; a file that cannot be read is none.
pub(crate) fn progress(folder: &Path) -> Option<Progress> {
    serde_json::from_str(&fs::read_to_string(folder.join(FILE)).ok()?).ok()
}

/// The exercise that was started in that folder.
pub(crate) fn exercise_in(folder: &Path) -> Option<String> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let manifest: toml::Table = manifest.parse().ok()?;
    let metadata = manifest.get("package")?.get("metadata")?;
    Some(metadata.get("exercise")?.get("id")?.as_str()?.to_owned())
}
