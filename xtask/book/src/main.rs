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
use xtask::readme::{self, Row};
use xtask::{Failure, Output};

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
    // The chapters in Markdown, beside the site.
    let source = site.with_extension("src");
    if source.exists() {
        fs::remove_dir_all(&source).map_err(Failure::file(source.display()))?;
    }
    let rows = readme::read(&root)?;
    write(&source.join("book.toml"), &pages::configuration(&site))?;
    for (file, text) in pages::around(&root, &rows)? {
        write(&source.join("src").join(file), &text)?;
    }
    // Charts, and the picture that README has.
    copy_svgs(&root.join("docs/bench"), &source.join("src/bench"))?;
    copy_svgs(&root.join("docs/pictures"), &source.join("src/docs/pictures"))?;
    for row in &rows {
        out.line(format_args!("chapter: {}", row.name))?;
        let stories = if args.draft {
            Vec::new()
        } else {
            story::stories(&row.name, &source.join("src/pictures"))?
        };
        let chapter = chapter::chapter(&root, row, neighbour(&rows, row), &stories)?;
        write(&source.join("src").join(format!("{}.md", row.name)), &chapter)?;
    }
    build(&source, args.serve)?;
    out.line(format_args!("book: {}", site.join("index.html").display()))?;
    Ok(true)
}

/// The recipe before this one, where both are of one kind.
fn neighbour<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    let place = rows.iter().position(|it| it.name == row.name)?;
    rows.get(place.checked_sub(1)?).filter(|before| before.is_tool == row.is_tool)
}

fn build(source: &Path, serve: bool) -> Result<(), Failure> {
    let mut mdbook = Command::new("mdbook");
    if serve {
        let why = mdbook.args(["serve", "--port", "3000"]).arg(source).exec();
        return Err(Failure::program("exec mdbook")(why));
    }
    let output = mdbook.arg("build").arg(source).output();
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
