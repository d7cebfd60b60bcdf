//! The book in a real browser, from the file system: pages, links, pictures, search, and a phone's width.
//! With `BOOK=target/book` in the environment it is the one that is there; otherwise one with the
//! scenarios of a single recipe is made.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says that something is wrong")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use netcheck::{Need, need, require_all};
use tempfile::TempDir;

/// Opens every page in a frame as wide as a phone, then searches.
const DRIVER: &str = include_str!("driver.html");

const WORDS: [&str; 10] = [
    "waitpid",
    "EADDRINUSE",
    "fork",
    "accept",
    "zombie",
    "backlog",
    "sendfile",
    "SO_REUSEADDR",
    "epoll",
    "stratum",
];

fn pages(folder: &Path, below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path: PathBuf = entry.path();
        let name = below.join(entry.file_name());
        if path.is_dir() && !name.ends_with("pictures") {
            found.extend(pages(&path, &name));
        } else if path.extension().is_some_and(|it| it == "html") {
            found.push(name.display().to_string());
        }
    }
    // None of them is a page to read.
    found.retain(|name| !["404.html", "toc.html", "driver.html"].contains(&name.as_str()));
    found.sort();
    found
}

fn quoted(words: &[impl AsRef<str>]) -> String {
    words.iter().map(|word| format!("{:?}", word.as_ref())).collect::<Vec<_>>().join(",")
}

#[test]
fn without_mdbook_one_line_says_how_to_get_it() {
    let empty = TempDir::new().unwrap();
    let mut book = Command::new(env!("CARGO_BIN_EXE_book"));
    let output = book.args(["book", "--draft"]).env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(71));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("cargo install mdbook"), "{said}");
}

/// The files that the pages name and that are not there.
fn lacking(site: &Path, pages: &[String]) -> BTreeSet<String> {
    let mut lacking = BTreeSet::new();
    for page in pages {
        let path = site.join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        let targets = ["href=\"", "src=\""].into_iter().flat_map(|name| text.split(name).skip(1));
        for target in targets.filter_map(|rest| rest.split(['"', '#', '?']).next()) {
            let is_here = !target.is_empty() && !target.contains(':');
            if is_here && !path.parent().unwrap().join(target).exists() {
                lacking.insert(format!("{page}: {target}"));
            }
        }
    }
    lacking
}

/// How large all files are.
fn bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|file| file.path());
    files
        .map(|path| if path.is_dir() { bytes(&path) } else { path.metadata().unwrap().len() })
        .sum()
}

/// The site, made in a folder if there is none yet.
fn site(folder: &TempDir) -> PathBuf {
    if let Some(there) = std::env::var_os("BOOK") {
        return netcheck::workspace().join(there);
    }
    let site = folder.path().join("book");
    let mut book = Command::new(env!("CARGO_BIN_EXE_book"));
    book.args(["book", "--only", "threaded-echo", "--out"]).arg(&site);
    let output = book.output().unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{said:?}");
    site
}

#[test]
fn a_folder_with_other_files_is_not_emptied() {
    if let Err(skip) = need(Need::Mdbook) {
        assert!(!require_all(), "{skip}");
        return;
    }
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    let mut book = Command::new(env!("CARGO_BIN_EXE_book"));
    let output = book.args(["book", "--draft", "--out"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(folder.path().join("mine.txt").exists());
}

#[test]
fn every_page_loads_links_resolve_and_search_finds_words() {
    if let Err(skip) = need(Need::Mdbook).and_then(|()| need(Need::Chromium)) {
        assert!(!require_all(), "{skip}");
        return;
    }
    let folder = TempDir::new().unwrap();
    let site = site(&folder);
    let pages = pages(&site, Path::new(""));
    assert_eq!(lacking(&site, &pages), BTreeSet::new());
    // It has to fit into a mail, and into a school's network.
    assert!(bytes(&site) < 15 << 20, "{} bytes", bytes(&site));
    let chapter = std::fs::read_to_string(site.join("threaded-echo.html")).unwrap();
    let says =
        ["pictures/threads.svg", "There is no picture"].iter().any(|it| chapter.contains(it));
    assert!(chapter.contains("three threads served them") && says);
    let driver = DRIVER.replace("@PAGES@", &quoted(&pages)).replace("@WORDS@", &quoted(&WORDS));
    std::fs::write(site.join("driver.html"), driver).unwrap();
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .args(["--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=120000"])
        .arg(site.join("driver.html"))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let title = format!("<title>pages {} found 10 wrong 0</title>", pages.len());
    assert!(dom.contains(&title), "{}", dom.split("<pre").nth(1).unwrap_or(&dom));
    let errors: Vec<&str> =
        log.lines().filter(|line| line.contains("CONSOLE") && line.contains("rror")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    std::fs::remove_file(site.join("driver.html")).unwrap();
}
