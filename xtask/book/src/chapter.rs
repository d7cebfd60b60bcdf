//! A chapter: a recipe from its header to its exercises.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use netcheck::{Header, Section};
use xtask::Failure;
use xtask::readme::Row;

use crate::pages;
use crate::story::Story;

/// The chapter of a recipe in Markdown.
pub(crate) fn chapter(
    root: &Path,
    row: &Row,
    before: Option<&Row>,
    stories: &[&Story],
) -> Result<String, Failure> {
    let folder = root.join("crates").join(&row.name);
    let path = folder.join("src/main.rs");
    let source = fs::read_to_string(&path).map_err(Failure::file(path.display()))?;
    let header = Header::parse(&source);
    let mut text = format!("# {}\n\n{}\n\n", row.name, header.title);
    let is_last = |section: &&Section| ["Next", "Source"].contains(&&*section.heading);
    for section in header.sections.iter().filter(|section| !is_last(section)) {
        add_section(&mut text, section);
    }
    for story in stories {
        add_story(&mut text, story);
    }
    text.push_str("## main.rs\n\n");
    add_source(&mut text, &source);
    if let Some(before) = before {
        add_difference(&mut text, &before.name, &row.name)?;
    }
    add_exercises(&mut text, &folder.join("exercises"))?;
    add_charts(&mut text, root, &row.name)?;
    for section in header.sections.iter().filter(is_last) {
        add_section(&mut text, section);
    }
    Ok(text)
}

fn add_section(text: &mut String, section: &Section) {
    let body = section.text.trim_end();
    let body = match &*section.heading {
        // `(accept → fork)*` is no emphasis, and each line stays one.
        "System calls" => body.replace('*', "\\*").replace('\n', "  \n"),
        "Next" => pages::linked(&pages::with_chapters(body)),
        _ => body.to_owned(),
    };
    let _ = write!(text, "## {}\n\n{body}\n\n", section.heading);
}

fn add_story(text: &mut String, story: &Story) {
    let name = story.name;
    let _ = write!(text, "## The scenario {name}\n\n`cargo xtask scenario {name}` printed:\n\n");
    let _ = write!(text, "```text\n{}\n```\n\n", story.text.trim());
    if let Some(page) = &story.page {
        let run = if story.fewer.is_empty() {
            "What really happened in that run, as strace recorded it.".to_owned()
        } else {
            let fewer = story.fewer.join(", ");
            format!("What really happened in another run, with {fewer}, as strace recorded it.")
        };
        let _ = write!(text, "{run} [Step by step](pictures/{page}), with the arrow keys.\n\n");
    }
    for picture in &story.pictures {
        let page = story.page.as_deref().unwrap_or(picture);
        let _ =
            write!(text, "[![What happened in {name}](pictures/{picture})](pictures/{page})\n\n");
    }
    if let Some(why) = &story.why_not {
        let _ = write!(text, "There is no picture: {why}.\n\n");
    }
}

/// The charts in which the recipe has a bar, in the order of the page about benchmarks.
fn add_charts(text: &mut String, root: &Path, name: &str) -> Result<(), Failure> {
    let folder = root.join("docs/bench");
    let page = folder.join("README.md");
    let page = fs::read_to_string(&page).map_err(Failure::file(page.display()))?;
    let names = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut charts = String::new();
    for file in names.filter(|target| target.ends_with(".svg")) {
        // One that is not yet made is none.
        let Ok(chart) = fs::read_to_string(folder.join(file)) else { continue };
        // `epoll-echo` or `epoll-echo --edge`.
        if [format!(">{name}<"), format!(">{name} ")].iter().any(|bar| chart.contains(bar)) {
            let label = chart.split("aria-label=\"").nth(1).and_then(|rest| rest.split('"').next());
            let _ = write!(charts, "![{}](bench/{file})\n\n", label.unwrap_or(file));
        }
    }
    if !charts.is_empty() {
        let how = "[Benchmarks](bench/index.md) says on which machine, how, and what follows.";
        let _ = write!(text, "## Beside others\n\n{how}\n\n{charts}");
    }
    Ok(())
}

/// The source below the header, each function with an anchor.
fn add_source(text: &mut String, source: &str) {
    let below: Vec<&str> = source.lines().skip_while(|line| line.starts_with("//!")).collect();
    let code = below.join("\n");
    let functions: Vec<&str> = below.iter().filter_map(|line| function(line)).collect();
    let links: Vec<String> =
        functions.iter().map(|name| format!("[`{name}`](#fn-{name})")).collect();
    let _ = write!(text, "{}\n\n", links.join(" · "));
    let mut part = String::new();
    let mut anchor = None;
    // A function begins with its comments and attributes: after an empty line at the margin.
    for item in code.trim().split("\n\n").flat_map(|item| [item, "\n\n"]) {
        let begins =
            item.lines().find(|line| !line.starts_with(['/', '#', ' '])).and_then(function);
        if let Some(name) = begins {
            flush(text, &mut part, anchor.take());
            anchor = Some(name);
        }
        part.push_str(item);
    }
    flush(text, &mut part, anchor);
}

fn flush(text: &mut String, part: &mut String, anchor: Option<&str>) {
    if let Some(name) = anchor {
        let _ = write!(text, "<a id=\"fn-{name}\"></a>\n\n");
    }
    let _ = write!(text, "```rust,ignore,noplayground\n{}\n```\n\n", part.trim_end());
    part.clear();
}

/// The name in `pub(crate) fn name(`, at the margin.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
    let line = line.strip_prefix("unsafe ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn add_difference(text: &mut String, from: &str, to: &str) -> Result<(), Failure> {
    let mut ladder = Command::new(netcheck::bin("xtask"));
    let output = ladder.args(["ladder", from, to]).output();
    let output = output.map_err(Failure::program("run xtask"))?;
    let diff = String::from_utf8_lossy(&output.stdout).into_owned();
    // Where nothing is the same, a diff is no lesson.
    if !output.status.success() || diff.contains("the same in both: nothing") {
        return Ok(());
    }
    let _ = write!(
        text,
        "## What differs from {from}\n\n`cargo xtask ladder {from} {to}`, beside [{from}]({from}.md):\n\n\
         <details><summary>The difference, function by function</summary>\n\n```diff\n{}\n```\n\n\
         </details>\n\n",
        diff.trim_end()
    );
    Ok(())
}

/// The exercises of a recipe, without what is for the teacher.
pub(crate) fn exercises(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let Ok(files) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for file in files.flatten().map(|file| file.path()) {
        if file.extension().is_some_and(|extension| extension == "md") {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).map_err(Failure::file(file.display()))?;
            let text = text.split("\n## Teacher").next().unwrap_or_default().trim().to_owned();
            found.push((name, text));
        }
    }
    found.sort();
    Ok(found)
}

fn add_exercises(text: &mut String, folder: &Path) -> Result<(), Failure> {
    for (name, exercise) in exercises(folder)? {
        let title = exercise.lines().next().unwrap_or_default().trim_start_matches("# ");
        let body: Vec<&str> = exercise.lines().skip(1).collect();
        // Its headings stand below those of the chapter.
        let body = body.join("\n").replace("\n## ", "\n### ");
        let _ = write!(
            text,
            "<a id=\"exercise-{name}\"></a>\n\n## Exercise: {title}\n\n\
             `cargo xtask exercise start {name}` begins it.\n{}\n\n",
            pages::linked(&body)
        );
    }
    Ok(())
}
