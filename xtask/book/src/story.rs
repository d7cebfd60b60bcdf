//! The scenarios of a recipe, as they run now, with their pictures where strace may follow them.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use netcheck::Scenario;
use xtask::{Failure, Output};

/// A scenario that was told.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// In whose chapter it stands.
    pub(crate) recipe: String,
    /// What it printed.
    pub(crate) text: String,
    /// Whether every statement is true.
    pub(crate) holds: bool,
    /// The pictures, and the page whose arrow keys go through them; none where there is no picture.
    pub(crate) pictures: Vec<String>,
    pub(crate) page: Option<String>,
    /// What the picture has less of than the story: `24 clients in place of 1000`.
    pub(crate) fewer: Vec<String>,
    /// Why there is none.
    pub(crate) why_not: Option<String>,
}

impl Story {
    fn new(scenario: &Scenario, recipe: &str) -> Self {
        Self {
            name: scenario.name,
            recipe: recipe.to_owned(),
            text: String::new(),
            holds: true,
            pictures: Vec::new(),
            page: None,
            fewer: Vec::new(),
            why_not: None,
        }
    }
}

/// The scenarios of a recipe: it has their name, as `uring-echo` has that of `uring`, or is their first
/// program.
pub(crate) fn of(recipe: &str) -> Result<Vec<&'static Scenario>, Failure> {
    let known = netcheck::recipes();
    let mut found = Vec::new();
    for scenario in scenarios::ALL {
        let file = format!("tests/src/scenario/{}.rs", scenario.name.replace('-', "_"));
        let path = netcheck::workspace().join(file);
        let source = fs::read_to_string(&path).map_err(Failure::file(path.display()))?;
        let words = source.split('"').skip(1).step_by(2);
        let words: Vec<&str> = words.filter(|word| known.iter().any(|name| name == word)).collect();
        let prefix = format!("{}-", scenario.name);
        let named = words.iter().find(|word| word.starts_with(&prefix));
        if named.or(words.first()) == Some(&recipe) {
            found.push(scenario);
        }
    }
    Ok(found)
}

/// Tells them, as many at once as there are processors, and draws them into a folder. One that did not
/// become a picture is told again when nothing else runs.
pub(crate) fn tell_all(
    wanted: &[(String, &'static Scenario)],
    folder: &Path,
    out: &mut Output,
) -> Result<Vec<Story>, Failure> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    fs::create_dir_all(folder).map_err(Failure::file(folder.display()))?;
    let recipes = netcheck::recipes();
    let ours = recipes.iter().map(String::as_str).chain(["netcheck", "picture", "xtask"]);
    let teller = Teller { built: netcheck::build_all(&ours.collect::<Vec<_>>()), folder };
    let mut drawn = side_by_side(&teller, wanted, out)?;
    let mut stories = Vec::new();
    for (recipe, scenario) in wanted {
        let mut last = drawn.remove(scenario.name);
        if !matches!(last, Some(Drawn::Whole(..) | Drawn::Refused(_))) {
            last = Some(teller.draw(scenario)?);
        }
        stories.push(match last {
            Some(Drawn::Whole(text, fewer)) => {
                let pictures = pictures(scenario.name, folder)?;
                let page = Some(format!("{}.html", scenario.name));
                Story { text, pictures, page, fewer, ..Story::new(scenario, recipe) }
            }
            Some(Drawn::Refused(why) | Drawn::Failed(why)) => {
                out.line(format_args!("no picture of {}: {why}", scenario.name))?;
                let (text, holds) = teller.tell(scenario)?;
                if !holds {
                    out.line(format_args!("the scenario {} failed:\n{text}", scenario.name))?;
                }
                Story { text, holds, why_not: Some(why), ..Story::new(scenario, recipe) }
            }
            None => continue,
        });
    }
    Ok(stories)
}

/// What became of each, by its name.
fn side_by_side(
    teller: &Teller,
    wanted: &[(String, &'static Scenario)],
    out: &mut Output,
) -> Result<BTreeMap<&'static str, Drawn>, Failure> {
    let next = AtomicUsize::new(0);
    let (report, reports) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let (report, next) = (report.clone(), &next);
            scope.spawn(move || {
                while let Some((_, scenario)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let drawn = teller.draw(scenario);
                    if report.send((scenario.name, begun.elapsed(), drawn)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(report);
        let mut all = BTreeMap::new();
        for (name, took, drawn) in reports {
            out.line(format_args!("scenario {name}: {:.1} s", took.as_secs_f32()))?;
            all.insert(name, drawn?);
        }
        Ok(all)
    })
}

/// Runs a scenario in a process of its own.
struct Teller<'a> {
    /// Where all programs are.
    built: PathBuf,
    /// Where the pictures go.
    folder: &'a Path,
}

/// Why there is no picture where nothing else is said.
const IS_FALSE: &str = "under strace, which slows it down, a statement was false";

/// With which a line begins that says what the picture has less of.
const FEWER: &str = "  --  for the picture";

/// What became of a picture.
enum Drawn {
    /// It is there; what the scenario printed, and what the picture has less of.
    Whole(String, Vec<String>),
    /// There can be none, and why.
    Refused(String),
    /// There is none this time, and why.
    Failed(String),
}

impl Teller<'_> {
    fn run(&self, program: &str, words: &[&str], files: &[PathBuf]) -> Result<Ended, Failure> {
        let mut command = Command::new(self.built.join(program));
        command.args(words).args(files).env(netcheck::BUILT, &self.built);
        command.output().map_err(Failure::program(format_args!("run {program}")))
    }

    fn draw(&self, scenario: &Scenario) -> Result<Drawn, Failure> {
        let file = |ending: &str| self.folder.join(format!("{}.{ending}", scenario.name));
        let words = ["draw", scenario.name];
        let drawn = self.run("picture", &words, &[file("svg"), file("html")])?;
        if drawn.status.success() {
            let text = said(&drawn.stdout);
            let lines = text.lines().filter(|line| !line.starts_with("picture: "));
            let printed = lines.collect::<Vec<_>>().join("\n");
            let fewer = text.lines().filter_map(|line| line.strip_prefix(FEWER));
            let fewer: Vec<String> = fewer.map(|line| line.trim().to_owned()).collect();
            if fewer.is_empty() {
                return Ok(Drawn::Whole(printed, fewer));
            }
            // The story has all of them.
            return Ok(match self.tell(scenario)? {
                (whole, true) => Drawn::Whole(whole, fewer),
                (_, false) => Drawn::Failed(IS_FALSE.to_owned()),
            });
        }
        for file in pictures(scenario.name, self.folder)? {
            let file = self.folder.join(file);
            fs::remove_file(&file).map_err(Failure::file(file.display()))?;
        }
        let why = said(&drawn.stderr);
        let why = why.lines().last().unwrap_or_default().trim_start_matches("xtask: ");
        let why = why.trim_start_matches(scenario.name).trim_start_matches(": ");
        let why = why.trim_start_matches(netcheck::record::NO_PICTURE).to_owned();
        if drawn.status.code() == Some(2) {
            return Ok(Drawn::Refused(why));
        }
        Ok(Drawn::Failed(if why.is_empty() { IS_FALSE.to_owned() } else { why }))
    }

    /// Without strace, as it is typed: what it printed, and whether all of it holds.
    fn tell(&self, scenario: &Scenario) -> Result<(String, bool), Failure> {
        let told = self.run("xtask", &["scenario", scenario.name], &[])?;
        Ok((said(&told.stdout), told.status.success()))
    }
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `forking.svg`, or `sntp-1.svg` and those after it.
fn pictures(name: &str, folder: &Path) -> Result<Vec<String>, Failure> {
    let listed = fs::read_dir(folder).map_err(Failure::file(folder.display()))?;
    let files = listed.flatten().map(|entry| entry.path());
    let is_part = |file: &PathBuf| {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let number = stem.strip_prefix(name).map(|rest| rest.strip_prefix('-').unwrap_or(rest));
        let is_svg = file.extension().is_some_and(|extension| extension == "svg");
        is_svg && number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    };
    let name_of = |file: PathBuf| file.file_name().map(|it| it.to_string_lossy().into_owned());
    let mut names: Vec<String> = files.filter(is_part).filter_map(name_of).collect();
    // `-10` after `-9`.
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(names)
}
