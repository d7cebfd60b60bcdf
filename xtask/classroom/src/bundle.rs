//! A starter that can be handed out: it has all that it is built from, and needs neither this workspace nor a
//! network.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use netcheck::workspace;

use crate::starter::{dependencies, package_fields, put, write_package, write_sources};
use crate::task::{Sources, Task};
use xtask::Failure;

/// The folder of what is not ours.
const VENDOR: &str = "vendor";

/// Writes the starter with `netcore/` and `vendor/`.
///
/// # Errors
/// A file cannot be read or written, or cargo does not have a dependency.
pub fn write(task: &Task, sources: &Sources, folder: &Path) -> Result<(), Failure> {
    write_package(task, folder, "netcore")?;
    put(folder, "README.md", &readme(task))?;
    write_sources(sources, folder)?;
    write_netcore(&folder.join("netcore"))?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["vendor", "--quiet", "--offline", VENDOR]).current_dir(folder);
    let output = cargo.output().map_err(Failure::program("run cargo vendor"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Missing(format!("cargo vendor: {}", why.trim_end())));
    }
    // Last: cargo would look in a folder that is not yet there.
    let config = format!(
        "[source.crates-io]\nreplace-with = \"{VENDOR}\"\n\n[source.{VENDOR}]\ndirectory = \"{VENDOR}\"\n\n\
         [net]\noffline = true\n"
    );
    put(folder, ".cargo/config.toml", &config)
}

/// Whether the folder was made so.
pub(crate) fn is_one(folder: &Path) -> bool {
    folder.join(VENDOR).is_dir()
}

/// A copy of `netcore`, without what only its tests need.
fn write_netcore(folder: &Path) -> Result<(), Failure> {
    let own = workspace().join("crates/netcore");
    let dependencies = dependencies(&own, "")?;
    let [version, edition, rust] = package_fields()?;
    let manifest = format!(
        "[package]\nname = \"netcore\"\nversion = \"{version}\"\nedition = \"{edition}\"\n\
         rust-version = \"{rust}\"\npublish = false\n\n[dependencies]\n{dependencies}\n"
    );
    put(folder, "Cargo.toml", &manifest)?;
    copy(&own.join("src"), &folder.join("src"))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let attempt = format!("copy {}", from.display());
    let failed = || Failure::file(&attempt);
    for entry in fs::read_dir(from).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().map_err(failed())?.is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else {
            put(to, &name, &fs::read_to_string(entry.path()).map_err(failed())?)?;
        }
    }
    Ok(())
}

fn readme(task: &Task) -> String {
    format!(
        "{}\n\n## Commands\n\nThis folder has all that it is built from: `cargo build` needs no network. Where the \
         cookbook is,\n\n```console\n$ cargo xtask exercise check FOLDER\n```\n\nchecks it.\n",
        task.for_learner(),
    )
}
