//! What is around the chapters: the table of contents, the first page, and the pages that README,
//! CONTRIBUTING and docs/ have already.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use netcheck::Header;
use xtask::Failure;
use xtask::readme::Row;

/// mdBook's book.toml.
pub(crate) fn configuration(site: &Path) -> String {
    let path = site.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "[book]\ntitle = \"The network-programming cookbook\"\nlanguage = \"en\"\n\n\
         [build]\nbuild-dir = \"{path}\"\ncreate-missing = false\n\n\
         [output.html]\ndefault-theme = \"light\"\npreferred-dark-theme = \"navy\"\n\
         additional-css = [\"book.css\"]\nno-section-label = true\n\n\
         [output.html.search]\nuse-boolean-and = true\nheading-split-level = 2\n"
    )
}

/// The pages beside the chapters: a file name and its text each.
pub(crate) fn around(root: &Path, rows: &[Row]) -> Result<Vec<(&'static str, String)>, Failure> {
    let read = |file: &str| {
        let path = root.join(file);
        fs::read_to_string(&path).map_err(Failure::file(path.display()))
    };
    let (readme, contributing) = (read("README.md")?, read("CONTRIBUTING.md")?);
    let glossary = section(&contributing, "Names and English");
    Ok(vec![
        ("SUMMARY.md", summary(rows)),
        ("index.md", first_page(&readme, rows)),
        ("how-to-read.md", page("How to read the code", &section(&readme, "How to read the code"))),
        ("exit-codes.md", page("Exit codes", &section(&readme, "Exit codes"))),
        ("words.md", page("Words", &glossary)),
        ("exercises.md", course(&readme, &read("docs/exercises.md")?)),
        ("bench/index.md", linked(&read("docs/bench/README.md")?)),
        ("../book.css", include_str!("book.css").to_owned()),
    ])
}

fn summary(rows: &[Row]) -> String {
    let mut text = String::from("# Contents\n\n[The cookbook](index.md)\n\n# Recipes\n\n");
    for (number, row) in rows.iter().enumerate() {
        if row.is_tool && number > 0 && !rows.get(number - 1).is_some_and(|row| row.is_tool) {
            text.push_str("\n# Tools\n\n");
        }
        let _ = writeln!(text, "- [{0}]({0}.md)", row.name);
    }
    text.push_str(
        "\n# Around them\n\n- [The course](exercises.md)\n- [How to read the code](how-to-read.md)\n\
         - [Exit codes](exit-codes.md)\n- [Words](words.md)\n- [Benchmarks](bench/index.md)\n",
    );
    text
}

/// What README begins with, and the recipes with their sentences.
fn first_page(readme: &str, rows: &[Row]) -> String {
    let intro: Vec<&str> = readme.lines().take_while(|line| !line.starts_with("## ")).collect();
    let mut text = linked(&intro.join("\n"));
    for is_tool in [false, true] {
        let heading = if is_tool { "The tools" } else { "The recipes" };
        let _ = write!(text, "\n\n## {heading}\n\n");
        for row in rows.iter().filter(|row| row.is_tool == is_tool) {
            let title = Header::read(&row.name).title;
            let _ = writeln!(text, "- [{0}]({0}.md): {title}", row.name);
        }
    }
    text
}

fn page(title: &str, body: &str) -> String {
    format!("# {title}\n\n{}\n", linked(body))
}

/// Every exercise, in the order of the course: the table of docs/exercises.md.
fn course(readme: &str, exercises: &str) -> String {
    let table: Vec<&str> = exercises
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect();
    let table = with_chapters(&table.join("\n"));
    page("The course", &format!("{table}\n\n{}", section(readme, "In class")))
}

/// Each name of a recipe with a link to its chapter.
pub(crate) fn with_chapters(text: &str) -> String {
    netcheck::recipes().iter().fold(text.to_owned(), |text, name| {
        text.replace(&format!("`{name}`"), &format!("[`{name}`](crates/{name}/src/main.rs)"))
    })
}

/// What stands below `## heading`, up to the next.
fn section(text: &str, heading: &str) -> String {
    let from = text.lines().skip_while(|line| *line != format!("## {heading}")).skip(1);
    from.take_while(|line| !line.starts_with("## ")).collect::<Vec<_>>().join("\n")
}

/// Links to files of the repository, which the book does not have: those to recipes and exercises go to their
/// chapters, of others the text stays.
pub(crate) fn linked(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("](") {
        let (before, after) = rest.split_at(start + 2);
        let Some((target, behind)) = after.split_once(')') else { break };
        let path = target.split_once("crates/").map(|(_, path)| path);
        let recipe = path.and_then(|path| path.strip_suffix("/src/main.rs"));
        let exercise = path.and_then(|path| path.strip_suffix(".md")?.split_once("/exercises/"));
        let is_here =
            target.starts_with("http") || target.ends_with(".svg") || target.starts_with('#');
        match (recipe, exercise) {
            (Some(name), _) => {
                let _ = write!(result, "{before}{name}.md)");
            }
            (None, Some((name, exercise))) => {
                let _ = write!(result, "{before}{name}.md#exercise-{exercise})");
            }
            _ if is_here => {
                let _ = write!(result, "{before}{target})");
            }
            _ => {
                // `[text](file)` is `text`.
                let label = before.rfind('[').unwrap_or(0);
                let (head, label) = before.split_at(label);
                let label = label.trim_start_matches('[').trim_end_matches("](");
                let _ = write!(result, "{head}{label}");
            }
        }
        rest = behind;
    }
    result.push_str(rest);
    result
}
