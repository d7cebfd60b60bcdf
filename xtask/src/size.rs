//! `cargo xtask size COMMAND`: how large target/ has become, beside what README says of the command.
//!
//! That is right after a first run only: later, what is out of date lies beside what is used.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use argh::FromArgs;

use xtask::{Failure, Output};

/// README may be wrong by so many per cent: compilers differ.
const TOLERANCE: u64 = 20;

/// Compare the size of target/ with the one in README's table of first runs.
#[derive(FromArgs)]
#[argh(subcommand, name = "size")]
pub(crate) struct Args {
    /// the command of the table that was run
    #[argh(positional)]
    command: String,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let path = netcheck::workspace().join("README.md");
    let readme = fs::read_to_string(path).map_err(Failure::file("read README.md"))?;
    let command = &args.command;
    let Some(said) = said(&readme, command) else {
        return Err(Failure::Usage(format!("{command}: README has no row of it with a size")));
    };
    let own = std::env::current_exe().map_err(Failure::file("find the path of xtask"))?;
    let target = own.ancestors().nth(2).unwrap_or(&own);
    let measured = size(target, &mut BTreeSet::new());
    let measured = measured.map_err(Failure::file(format_args!("read {}", target.display())))?;
    let measured = measured.div_ceil(1_000_000);
    let holds = agree(said, measured);
    let verdict = if holds { "ok" } else { "NO" };
    out.line(format_args!(
        "  {verdict}  target/ after {command}: {measured} MB, README: {said} MB"
    ))?;
    Ok(holds)
}

fn agree(said: u64, measured: u64) -> bool {
    100 * said.abs_diff(measured) <= TOLERANCE * said
}

/// The last cell of the row that begins with the command: megabytes.
fn said(readme: &str, command: &str) -> Option<u64> {
    let row = readme.lines().find_map(|line| line.strip_prefix(&format!("| `{command}` |")))?;
    row.trim_end_matches('|').rsplit('|').next()?.trim().replace(',', "").parse().ok()
}

/// The bytes of all files below a folder. Cargo gives some of them two names: they count once.
fn size(folder: &Path, seen: &mut BTreeSet<u64>) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            bytes += size(&entry.path(), seen)?;
        } else if seen.insert(meta.ino()) {
            bytes += meta.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_the_last_cell_of_the_commands_row() {
        let readme = "| command | minutes | MB |\n| `a b` | 0.5 | 1,234 |\n| `a` | 1 | 5 |\n";
        assert_eq!(said(readme, "a b"), Some(1_234));
        assert_eq!(said(readme, "a"), Some(5));
        assert_eq!(said(readme, "c"), None);
    }

    #[test]
    fn a_fifth_more_or_less_is_the_same() {
        assert!(agree(100, 120) && agree(100, 80));
        assert!(!agree(100, 121) && !agree(100, 79));
    }

    #[test]
    fn a_file_with_two_names_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, [0; 100]).unwrap();
        fs::hard_link(one, two).unwrap();
        let below = folder.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("three"), [0; 10]).unwrap();
        assert_eq!(size(folder.path(), &mut BTreeSet::new()).unwrap(), 110);
    }
}
