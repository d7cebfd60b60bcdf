//! The scenarios of a recipe, as they run now, with their pictures where strace may follow them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use netcheck::Scenario;
use xtask::Failure;

/// A scenario that was told.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// What it printed.
    pub(crate) text: String,
    /// The pictures, and the page whose arrow keys go through them; none where there is no picture.
    pub(crate) pictures: Vec<String>,
    pub(crate) page: Option<String>,
    /// Why there is none.
    pub(crate) why_not: Option<String>,
}

/// The scenarios whose first program is this recipe.
pub(crate) fn of(recipe: &str) -> Result<Vec<&'static Scenario>, Failure> {
    let known = netcheck::recipes();
    let mut found = Vec::new();
    for scenario in scenarios::ALL {
        let file = format!("tests/src/scenario/{}.rs", scenario.name.replace('-', "_"));
        let path = netcheck::workspace().join(file);
        let source = fs::read_to_string(&path).map_err(Failure::file(path.display()))?;
        let mut words = source.split('"').skip(1).step_by(2);
        let first = words.find(|word| known.iter().any(|name| name == word));
        if first == Some(recipe) {
            found.push(scenario);
        }
    }
    Ok(found)
}

/// Tells them, and draws them into a folder.
pub(crate) fn stories(recipe: &str, folder: &Path) -> Result<Vec<Story>, Failure> {
    fs::create_dir_all(folder).map_err(Failure::file(folder.display()))?;
    of(recipe)?.into_iter().map(|scenario| story(scenario, folder)).collect()
}

fn story(scenario: &'static Scenario, folder: &Path) -> Result<Story, Failure> {
    let name = scenario.name;
    let file = |ending: &str| folder.join(format!("{name}.{ending}"));
    let mut draw = Command::new(netcheck::bin("picture"));
    draw.args(["draw", name]).args([file("svg"), file("html")]);
    let drawn = draw.output().map_err(Failure::program("run picture"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if drawn.status.success() {
        let text = said(&drawn.stdout);
        let lines = text.lines().filter(|line| !line.starts_with("picture: "));
        let text = lines.collect::<Vec<_>>().join("\n");
        let page = Some(format!("{name}.html"));
        return Ok(Story { name, text, pictures: pictures(name, folder)?, page, why_not: None });
    }
    let why = said(&drawn.stderr);
    let why = why.lines().last().unwrap_or_default().trim_start_matches("xtask: ").to_owned();
    let false_there = "under strace, which slows it down, a statement was false";
    let why = if why.is_empty() { false_there.to_owned() } else { why };
    // Without strace, as it is typed.
    let mut tell = Command::new(netcheck::bin("xtask"));
    let told = tell.args(["scenario", name]).output().map_err(Failure::program("run xtask"))?;
    if !told.status.success() {
        return Err(Failure::Broken(format!(
            "the scenario {name} failed:\n{}",
            said(&told.stdout)
        )));
    }
    let text = said(&told.stdout);
    Ok(Story { name, text, pictures: Vec::new(), page: None, why_not: Some(why) })
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
