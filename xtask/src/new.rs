//! `cargo xtask new NAME`: a crate that builds, says what it still lacks, and has its row in README.

use std::fs;
use std::path::Path;

use argh::FromArgs;

use crate::each::packages;
use xtask::readme::with_row;
use xtask::{Failure, Output};

/// The files of a crate, below its folder.
const FILES: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    ("src/main.rs", include_str!("../template/main.rs.in")),
    ("src/args.rs", include_str!("../template/args.rs.in")),
];
const ROW: &str = include_str!("../template/row.md.in");

/// What the manifest of a tool says.
const TOOL: &str = "\n[package.metadata.cookbook]\nkind = \"tool\"\n";

/// Names longer than this break the columns of every list.
const LONGEST: usize = 24;

/// Begin a recipe: a crate from the template, and a row in README.
#[derive(FromArgs)]
#[argh(subcommand, name = "new")]
pub(crate) struct Args {
    /// the recipe's name, which is its folder, its package and its binary
    #[argh(positional)]
    name: String,

    /// a tool: a program worth having that is more than one lesson
    #[argh(switch)]
    tool: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let Args { name, tool } = args;
    make(&netcheck::workspace(), name, *tool)?;
    for (file, _) in FILES {
        out.line(format_args!("crates/{name}/{file}"))?;
    }
    out.line(format_args!(
        "README.md: the last row of its table\n\n\
         `cargo xtask tidy` fails until the blanks are filled: begin with the header."
    ))?;
    Ok(true)
}

/// Makes the crate in the workspace at `root`.
fn make(root: &Path, name: &str, is_tool: bool) -> Result<(), Failure> {
    check(name)?;
    let folder = root.join("crates").join(name);
    if folder.exists() || packages(root)?.iter().any(|package| package == name) {
        return Err(Failure::Usage(format!("{name} exists already")));
    }
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme);
    let text = text.map_err(Failure::file(format_args!("read {}", readme.display())))?;
    let Some(text) = with_row(&text, is_tool, filled(ROW, name, is_tool).trim_end()) else {
        return Err(Failure::Broken("README.md has no such table".to_owned()));
    };
    let source = folder.join("src");
    fs::create_dir_all(&source)
        .map_err(Failure::file(format_args!("create {}", source.display())))?;
    for (file, template) in FILES {
        write(&folder.join(file), &filled(template, name, is_tool))?;
    }
    write(&readme, &text)
}

/// A name is typed often, and is a package's and a folder's: lower case, digits, single hyphens.
fn check(name: &str) -> Result<(), Failure> {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let good = name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(part);
    match good {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "{name:?} is no name for a recipe: lower case letters, digits and single hyphens, \
             {LONGEST} at most, a letter first"
        ))),
    }
}

fn filled(template: &str, name: &str, is_tool: bool) -> String {
    template.replace("{{name}}", name).replace("{{kind}}", if is_tool { TOOL } else { "" })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::file(format_args!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_is_lower_case_words_joined_by_hyphens() {
        for good in ["a", "echo-server", "ip6-ntp-2"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let bad = ["", "-a", "a-", "a--b", "A", "2a", "a_b", "a/b", "../a", "ä", "a b"];
        for bad in bad.into_iter().chain(["a-name-that-is-much-too-long"]) {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    /// Copies what the workspace has, but for what git and cargo keep there for themselves.
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if name == "target" || name == ".git" {
                continue;
            }
            match path.is_dir() {
                true => copy(&path, &to.join(name)),
                false => drop(fs::copy(path, to.join(name)).unwrap()),
            }
        }
    }

    #[test]
    fn a_new_crate_builds_and_lacks_nothing_but_its_blanks() {
        // target/debug/deps/xtask-…; in a folder that cargo and tidy pass over, and on every run the
        // same one, so that its netcore is built once.
        let own = std::env::current_exe().unwrap();
        let target = own.ancestors().nth(3).unwrap();
        let root = target.join("new-crate");
        let _ = fs::remove_dir_all(&root);
        copy(&netcheck::workspace(), &root);

        for (name, is_tool) in [("new-recipe", false), ("new-tool", true)] {
            make(&root, name, is_tool).unwrap();
            assert!(matches!(make(&root, name, is_tool), Err(Failure::Usage(_))), "made twice");

            let mut build = xtask::cargo(["build", "--quiet", "--offline", "--package", name]);
            let built = build.current_dir(&root).env("CARGO_TARGET_DIR", target).output().unwrap();
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

            let help =
                Command::new(target.join("debug").join(name)).arg("--help").output().unwrap();
            let help = String::from_utf8_lossy(&help.stdout).into_owned();
            assert!(help.contains(&format!("{name} --port 7777")), "{help}");
        }

        let blank = concat!("TO", "DO is left");
        let findings = crate::tidy::findings(&root).unwrap();
        let (blanks, others): (Vec<_>, Vec<_>) =
            findings.iter().partition(|finding| finding.contains(blank));
        assert_eq!(others, [""; 0]);
        let written =
            |text: &str| text.lines().filter(|line| line.contains(concat!("TO", "DO"))).count();
        let each: usize = FILES.iter().map(|(_, text)| written(text)).sum();
        assert_eq!(blanks.len(), 2 * (each + written(ROW)), "{blanks:#?}");
        fs::remove_dir_all(&root).unwrap();
    }
}
