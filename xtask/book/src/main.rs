//! The book: a site made with mdBook from what is there already. `cargo xtask book` builds and starts this
//! program. Nothing is written twice: a chapter is the header of its recipe, its scenarios as they ran just
//! now, their pictures, its source, what differs from its neighbour, and its exercises.

mod chapter;
mod pages;
mod story;
#[cfg(test)]
mod tests;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;
use netcheck::Scenario;
use tempfile::TempDir;
use xtask::readme::{self, Row};
use xtask::{Failure, Output};

use story::Story;

/// The book.
#[derive(FromArgs)]
struct Book {
    #[argh(subcommand)]
    command: Subcommand,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Subcommand {
    Book(Args),
}

/// Make the book: a chapter for each recipe, with its scenario, its picture and its source. It takes mdBook
/// (`cargo install mdbook --locked`).
#[derive(FromArgs)]
#[argh(subcommand, name = "book")]
struct Args {
    /// where the site goes (target/book); open index.html, no server is needed
    #[argh(option, arg_name = "dir")]
    out: Option<PathBuf>,

    /// serve it on port 3000 of localhost, and run until it is stopped
    #[argh(switch)]
    serve: bool,

    /// run no scenario: a draft, without stories and pictures
    #[argh(switch)]
    draft: bool,

    /// run the scenarios of this recipe only
    #[argh(option, arg_name = "recipe")]
    only: Option<String>,
}

fn main() -> ExitCode {
    xtask::main(|Book { command: Subcommand::Book(args) }, out| run(&args, out))
}

fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    if Command::new("mdbook").arg("--version").output().is_err() {
        let how = "the book needs mdBook: `cargo install mdbook --locked` installs it";
        return Err(Failure::Missing(how.to_owned()));
    }
    let root = netcheck::workspace();
    let site = args.out.clone().unwrap_or_else(|| root.join("target/book"));
    let site = std::path::absolute(&site).map_err(Failure::file(site.display()))?;
    check_empty(&site)?;
    let rows = readme::read(&root)?;
    let wanted = wanted(args, &rows)?;
    // The chapters in Markdown.
    let source = TempDir::new().map_err(Failure::file("make a folder for the chapters"))?;
    let text = source.path().join("src");
    write(&source.path().join("book.toml"), &pages::configuration(&site))?;
    for (file, page) in pages::around(&root, &rows)? {
        write(&text.join(file), &page)?;
    }
    // Charts, and the picture that README has.
    copy_svgs(&root.join("docs/bench"), &text.join("bench"))?;
    copy_svgs(&root.join("docs/pictures"), &text.join("docs/pictures"))?;
    let stories = story::tell_all(&wanted, &text.join("pictures"), out)?;
    for row in &rows {
        let own: Vec<&Story> = stories.iter().filter(|it| it.recipe == row.name).collect();
        let chapter = chapter::chapter(&root, row, neighbour(&rows, row), &own)?;
        write(&text.join(format!("{}.md", row.name)), &chapter)?;
    }
    build(source, args.serve)?;
    out.line(format_args!("book: {}", site.join("index.html").display()))?;
    Ok(stories.iter().all(|story| story.holds))
}

/// mdBook empties the folder that it writes to.
fn check_empty(site: &Path) -> Result<(), Failure> {
    let Ok(mut files) = fs::read_dir(site) else { return Ok(()) };
    if files.next().is_none() || site.join("toc.html").exists() {
        return Ok(());
    }
    let why = "there are files in it, and they are no book: it would be emptied";
    Err(Failure::Usage(format!("--out {}: {why}", site.display())))
}

/// Each recipe, and its scenarios that are to be told.
fn wanted(args: &Args, rows: &[Row]) -> Result<Vec<(String, &'static Scenario)>, Failure> {
    let names = rows.iter().map(|row| &row.name);
    let names: Vec<&String> = match &args.only {
        Some(only) => names.filter(|name| *name == only).collect(),
        None if args.draft => Vec::new(),
        None => names.collect(),
    };
    if let (Some(only), true) = (&args.only, names.is_empty()) {
        return Err(Failure::Usage(format!("--only {only}: no recipe and no tool has that name")));
    }
    let mut wanted = Vec::new();
    for name in names {
        wanted.extend(story::of(name)?.into_iter().map(|scenario| (name.clone(), scenario)));
    }
    Ok(wanted)
}

/// The recipe before this one, where both are of one kind.
fn neighbour<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    let place = rows.iter().position(|it| it.name == row.name)?;
    rows.get(place.checked_sub(1)?).filter(|before| before.is_tool == row.is_tool)
}

fn build(source: TempDir, serve: bool) -> Result<(), Failure> {
    let mut mdbook = Command::new("mdbook");
    if serve {
        // It reads them as long as it runs.
        let why = mdbook.args(["serve", "--port", "3000"]).arg(source.keep()).exec();
        return Err(Failure::program("exec mdbook")(why));
    }
    let output = mdbook.arg("build").arg(source.path()).output();
    let output = output.map_err(Failure::program("run mdbook"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || said.contains("ERROR") || said.contains("WARN") {
        return Err(Failure::Broken(format!("mdbook build: {}", said.trim_end())));
    }
    Ok(())
}

fn copy_svgs(from: &Path, to: &Path) -> Result<(), Failure> {
    let folder = fs::read_dir(from).map_err(Failure::file(from.display()))?;
    let files = folder.flatten().map(|file| file.path());
    for file in files.filter(|file| file.extension().is_some_and(|it| it == "svg")) {
        let text = fs::read_to_string(&file).map_err(Failure::file(file.display()))?;
        write(&to.join(file.file_name().unwrap_or_default()), &text)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(Failure::file(folder.display()))?;
    }
    fs::write(file, text).map_err(Failure::file(file.display()))
}
