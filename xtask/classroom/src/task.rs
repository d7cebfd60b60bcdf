//! An exercise, as its files beside the recipe say it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use netcheck::workspace;
use scenarios::exercise::{self, Check, Exercise};
use serde::Deserialize;

use xtask::Failure;

/// The files of a program by their paths from its folder: `src/main.rs`.
pub type Sources = BTreeMap<String, String>;

/// An exercise: its code, its `ID.toml` and its `ID.md`.
#[derive(Debug)]
pub struct Task {
    /// Its checks.
    pub code: &'static Exercise,
    /// Points, holes, mutants.
    pub spec: Spec,
    /// The task for the learner and the notes for the teacher.
    text: String,
}

/// `crates/RECIPE/exercises/ID.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// One line: `Leave no zombies`.
    pub title: String,
    /// From 1 to 4.
    pub level: u8,
    /// How long it takes, tried.
    pub minutes: u16,
    /// Exercises to be done before it.
    #[serde(default)]
    pub after: Vec<String>,
    /// Of all checks together.
    pub points: u32,
    /// Why it cannot be done in another language: what the checks need beyond the wire and the kernel.
    #[serde(default)]
    pub only_here: Option<String>,
    /// What is otherwise in the recipe, for the solution too: the exercise does itself what the recipe leaves to
    /// `netcore`.
    #[serde(default)]
    pub change: Vec<Change>,
    /// Files that the recipe does not have, for the solution too.
    #[serde(default)]
    pub carry: Vec<Carry>,
    /// What is cut out of the recipe.
    pub hole: Vec<Hole>,
    /// What each check is worth.
    pub check: Vec<Worth>,
    /// Wrong solutions that the checks have to catch.
    pub mutant: Vec<Mutant>,
    /// Recipes that are right elsewhere, and pass no check here: `poll-echo`, where children are asked for.
    #[serde(default)]
    pub wrong_recipes: Vec<String>,
    /// Right solutions of another shape, that they must not.
    #[serde(default)]
    pub alternative: Vec<Alternative>,
}

/// A change of the recipe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The file, from the recipe's folder.
    #[serde(default = "main_rs")]
    pub file: String,
    /// It occurs there exactly once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

/// Lines of another file, copied into a file of the exercise's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carry {
    /// The new file, from the recipe's folder.
    pub file: String,
    /// What stands before the lines.
    pub head: String,
    /// Where they come from, from the root of the workspace.
    pub from: String,
    /// With what the first of them begins; it occurs there exactly once.
    pub begin: String,
    /// With what the first line after them begins; it occurs there exactly once.
    pub end: String,
    /// What stands after the lines.
    pub tail: String,
}

/// Lines of the solution, and what the learner gets in their place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// The file, from the recipe's folder.
    #[serde(default = "main_rs")]
    pub file: String,
    /// It occurs there exactly once.
    pub find: String,
    /// It compiles without warnings, and does the wrong thing.
    pub stub: String,
}

/// What a check is worth, and what is said where it fails.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worth {
    /// The name of the check.
    pub id: String,
    /// None, if a starter passes it: a precondition.
    pub points: u32,
    /// Why it matters, in one sentence.
    pub why: String,
    /// In rungs: the idea, the call and its man page, almost the line.
    pub hints: Vec<String>,
    /// Why no mutant is caught by this check alone, if none is.
    #[serde(default)]
    pub not_alone: Option<String>,
}

/// A bug that learners make, as a change of the recipe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name: `once-a-signal`.
    pub id: String,
    /// The file, from the recipe's folder.
    #[serde(default = "main_rs")]
    pub file: String,
    /// It occurs there exactly once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
    /// The checks that fail, and no other does.
    pub caught_by: Vec<String>,
}

/// A right solution of another shape, as a change of the recipe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// Its name: `wait4`.
    pub id: String,
    /// The file, from the recipe's folder.
    #[serde(default = "main_rs")]
    pub file: String,
    /// It occurs there exactly once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

fn main_rs() -> String {
    "src/main.rs".to_owned()
}

impl Task {
    /// Every exercise, in the order of the course.
    ///
    /// # Errors
    /// A file of one of them is missing or wrong.
    pub fn all() -> Result<Vec<Task>, Failure> {
        exercise::ALL.iter().map(Task::read).collect()
    }

    /// The exercise of that name.
    ///
    /// # Errors
    /// There is none, or a file of it is wrong.
    pub fn find(id: &str) -> Result<Task, Failure> {
        let known = exercise::ALL.iter().find(|exercise| exercise.id == id);
        let unknown = || {
            Failure::Usage(format!("{id}: no such exercise; cargo xtask exercise list has them"))
        };
        Task::read(known.ok_or_else(unknown)?)
    }

    fn read(code: &'static Exercise) -> Result<Task, Failure> {
        let read = |kind: &str| {
            let path = format!("crates/{}/exercises/{}.{kind}", code.recipe, code.id);
            let text = fs::read_to_string(workspace().join(&path));
            text.map_err(Failure::file(format_args!("read {path}")))
        };
        let spec = toml::from_str::<Spec>(&read("toml")?);
        let spec = spec.map_err(|why| Failure::Broken(format!("{}.toml: {why}", code.id)))?;
        let task = Task { code, spec, text: read("md")? };
        for check in code.checks {
            task.worth(check)?;
        }
        Ok(task)
    }

    /// Its name.
    pub fn id(&self) -> &'static str {
        self.code.id
    }

    /// What a check is worth.
    ///
    /// # Errors
    /// `ID.toml` does not say.
    pub fn worth(&self, check: &Check) -> Result<&Worth, Failure> {
        let own = self.spec.check.iter().find(|worth| worth.id == check.id);
        own.ok_or_else(|| Failure::Broken(format!("{}.toml has no check {}", self.id(), check.id)))
    }

    /// The check of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn check(&self, id: &str) -> Result<&'static Check, Failure> {
        self.code.checks.iter().find(|check| check.id == id).ok_or_else(|| {
            let known: Vec<_> = self.code.checks.iter().map(|check| check.id).collect();
            Failure::Usage(format!("{id}: {} has the checks {}", self.id(), known.join(", ")))
        })
    }

    /// The task, without the notes for the teacher.
    pub fn for_learner(&self) -> &str {
        self.text.split("\n## Teacher").next().unwrap_or_default().trim_end()
    }

    /// The folder of the recipe.
    pub fn recipe(&self) -> PathBuf {
        workspace().join("crates").join(self.code.recipe)
    }

    /// The solution: the recipe, with what the exercise changes in it.
    ///
    /// # Errors
    /// A file cannot be read, or the place of a change is not found.
    pub fn solution(&self) -> Result<Sources, Failure> {
        let mut sources = self.sources()?;
        let broken = |why: String| Failure::Broken(format!("{}: a change {why}", self.id()));
        for Change { file, find, replace } in &self.spec.change {
            change(&mut sources, file, find, replace).map_err(broken)?;
        }
        for carry in &self.spec.carry {
            sources.insert(carry.file.clone(), carry.text()?);
        }
        Ok(sources)
    }

    /// The files of the recipe, without their tests.
    fn sources(&self) -> Result<Sources, Failure> {
        let mut sources = Sources::new();
        read_sources(&self.recipe(), "src", &mut sources)?;
        Ok(sources)
    }

    /// The recipe with its holes: what a learner begins with.
    ///
    /// # Errors
    /// A hole is not found, or a file cannot be read.
    pub fn stubs(&self) -> Result<Sources, Failure> {
        let mut sources = self.solution()?;
        for hole in &self.spec.hole {
            change(&mut sources, &hole.file, &hole.find, &hole.stub)
                .map_err(|why| Failure::Broken(format!("{}: a hole {why}", self.id())))?;
        }
        Ok(sources)
    }

    /// The recipe with a change.
    ///
    /// # Errors
    /// The place is not found, or a file cannot be read.
    pub fn changed(&self, name: &str, edit: [&str; 3]) -> Result<Sources, Failure> {
        let mut sources = self.solution()?;
        let [file, find, replace] = edit;
        change(&mut sources, file, find, replace)
            .map_err(|why| Failure::Broken(format!("{}: {name} {why}", self.id())))?;
        Ok(sources)
    }
}

/// Reads the files of a folder of the recipe, and of those in it.
fn read_sources(recipe: &Path, below: &str, sources: &mut Sources) -> Result<(), Failure> {
    let folder = recipe.join(below);
    let entries = fs::read_dir(&folder);
    let entries = entries.map_err(Failure::file(format_args!("read {}", folder.display())))?;
    for entry in entries.flatten() {
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_sources(recipe, &name, sources)?;
        } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") {
            let text = fs::read_to_string(entry.path());
            let text = text.map_err(Failure::file(format_args!("read {name}")))?;
            sources.insert(name, without_tests(&text));
        }
    }
    Ok(())
}

impl Carry {
    /// The new file.
    fn text(&self) -> Result<String, Failure> {
        let Carry { head, from, begin, end, tail, .. } = self;
        let text = fs::read_to_string(workspace().join(from));
        let text = text.map_err(Failure::file(format_args!("read {from}")))?;
        let once = |what: &String| match text.matches(what.as_str()).count() {
            1 => text.find(what.as_str()).ok_or(0),
            count => Err(count),
        };
        let place = |what: &String| {
            once(what).map_err(|count| {
                Failure::Broken(format!("{from}: {what:?} is found {count} times"))
            })
        };
        let lines = text.get(place(begin)?..place(end)?).unwrap_or_default();
        Ok(format!("{head}{lines}{tail}"))
    }
}

/// The `mod tests` at the end is the recipe's own.
fn without_tests(text: &str) -> String {
    match text.rsplit_once("\n#[cfg(test)]\n") {
        Some((code, _)) => code.to_owned(),
        None => text.to_owned(),
    }
}

/// Replaces what occurs exactly once.
fn change(sources: &mut Sources, file: &str, find: &str, replace: &str) -> Result<(), String> {
    let text = sources.get_mut(file).ok_or_else(|| format!("is in {file}, which is no file"))?;
    match text.matches(find).count() {
        1 => *text = text.replacen(find, replace, 1),
        count => return Err(format!("is found {count} times in {file}: {find:?}")),
    }
    Ok(())
}
