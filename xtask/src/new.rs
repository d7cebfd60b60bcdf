//! `cargo xtask new NAME`: a recipe that builds, says what it still lacks, and has its row in README.

use std::path::Path;

use argh::FromArgs;

use crate::each::packages;
use crate::readme::with_row;
use xtask::{Failure, Output};

const MANIFEST: &str = include_str!("../template/Cargo.toml.in");
const MAIN: &str = include_str!("../template/main.rs.in");
const ROW: &str = include_str!("../template/row.md.in");

/// Names longer than this break the columns of every list.
const LONGEST: usize = 24;

/// Begin a recipe: a crate from the template and a row in README.
#[derive(FromArgs)]
#[argh(subcommand, name = "new")]
pub(crate) struct Args {
    /// the recipe's name, which is its folder, its package and its binary
    #[argh(positional)]
    name: String,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let name = args.name.as_str();
    check(name)?;
    let root = netcheck::workspace();
    let folder = root.join("crates").join(name);
    if folder.exists() || packages(&root)?.iter().any(|package| package == name) {
        return Err(Failure::Usage(format!("{name} exists already")));
    }
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme)
        .map_err(Failure::at(format_args!("read {}", readme.display())))?;
    let Some(text) = with_row(&text, false, filled(ROW, name).trim_end()) else {
        return Err(Failure::Broken("README.md has no table that begins `| recipe |`".to_owned()));
    };
    std::fs::create_dir_all(folder.join("src"))
        .map_err(Failure::at(format_args!("create {}", folder.display())))?;
    write(&folder.join("Cargo.toml"), &filled(MANIFEST, name))?;
    write(&folder.join("src/main.rs"), &filled(MAIN, name))?;
    write(&readme, &text)?;
    out.line(format_args!(
        "crates/{name}/Cargo.toml\ncrates/{name}/src/main.rs\nREADME.md: a row\n\n\
         `cargo xtask tidy` fails until the blanks are filled: begin with the header."
    ))?;
    Ok(true)
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

fn filled(template: &str, name: &str) -> String {
    template.replace("{{name}}", name)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(Failure::at(format_args!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_template_leaves_no_placeholder() {
        for template in [MANIFEST, MAIN, ROW] {
            assert!(template.contains("{{name}}"));
            assert!(!filled(template, "a").contains("{{"));
        }
    }
}
