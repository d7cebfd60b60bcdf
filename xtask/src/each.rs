//! `cargo xtask each`: every package checked alone.
//!
//! `cargo check --workspace` unifies features: a package that forgot the feature `signal` of nix
//! builds there because another one names it, and fails when it is installed alone.

use std::path::{Path, PathBuf};
use std::time::Instant;

use argh::FromArgs;

use xtask::{Failure, Output, cargo};

/// Check every package alone, as an install would build it.
#[derive(FromArgs)]
#[argh(subcommand, name = "each")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, out: &mut Output) -> Result<bool, Failure> {
    let packages = packages(&netcheck::workspace())?;
    let width = packages.iter().map(String::len).max().unwrap_or(0);
    let mut failed = 0;
    for name in &packages {
        let start = Instant::now();
        let checked = cargo(["check", "--quiet", "--package", name])
            .output()
            .map_err(Failure::program(format_args!("run cargo check --package {name}")))?;
        let verdict = if checked.status.success() { "ok" } else { "failed" };
        let seconds = start.elapsed().as_secs_f32();
        out.line(format_args!("  {verdict:6}  {name:width$}  {seconds:4.1} s"))?;
        if !checked.status.success() {
            failed += 1;
            out.line(String::from_utf8_lossy(&checked.stderr).trim_end())?;
        }
    }
    let total = packages.len();
    out.line(format_args!("each: {} of {total} packages build alone", total - failed))?;
    Ok(failed == 0)
}

/// The names of the workspace's packages, found where the root manifest's `members` look, sorted.
pub(crate) fn packages(root: &Path) -> Result<Vec<String>, Failure> {
    let crates = root.join("crates");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&crates)
        .map_err(Failure::file(format_args!("read {}", crates.display())))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.extend(["tests", "xtask", "xtask/bench"].map(|folder| root.join(folder)));
    let named = folders.iter().filter_map(|folder| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = "))?;
        Some(name.trim_matches('"').to_owned())
    });
    let mut names: Vec<String> = named.collect();
    names.sort();
    Ok(names)
}
