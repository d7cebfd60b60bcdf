//! Builds what a learner wrote.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netcheck::{Run, workspace};
use serde_json::Value;

use crate::scratch;
use xtask::Failure;

/// What came of a build.
pub enum Built {
    /// The program, a copy that no other build changes, and what the compiler warned of.
    Program {
        /// Its path.
        path: PathBuf,
        /// What cargo printed, without the progress.
        warnings: String,
    },
    /// What the compiler says.
    Failed(String),
}

/// The build folder of the workspace.
pub fn workspace_target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), |own| workspace().join(own))
}

/// The build folder that all exercises share.
pub fn target() -> PathBuf {
    workspace_target().join("exercises")
}

/// How long a build may take, the first one with all dependencies too.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Builds the package in that folder, without a network.
///
/// # Errors
/// The folder is not there, cargo cannot be started, or the program cannot be copied.
pub fn build(folder: &Path) -> Result<Built, Failure> {
    build_within(folder, TIMEOUT)
}

/// The same with another bound.
///
/// # Errors
/// As [`build`].
pub fn build_within(folder: &Path, timeout: Duration) -> Result<Built, Failure> {
    let target = target();
    let folder = fs::canonicalize(folder)
        .map_err(Failure::file(format_args!("find {}", folder.display())))?;
    fs::create_dir_all(&target)
        .map_err(Failure::file(format_args!("make {}", target.display())))?;
    // Two exercises of one name have one place for the program: it is copied before the next build.
    let lock = File::create(target.join(".exercise-lock"));
    let lock = lock.map_err(Failure::file(format_args!("lock {}", target.display())))?;
    lock.lock().map_err(Failure::file(format_args!("lock {}", target.display())))?;
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let cargo = Run::program(&program)
        .args(["rustc", "--quiet", "--offline", "--message-format=json-render-diagnostics"])
        .arg("--target-dir")
        .arg(&target)
        .folder(&folder);
    // Cargo knows a package by its name and its place in its workspace: two folders of one exercise are
    // the same to it, and what it has built of one would be fresh for the other.
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let cargo = cargo.args(["--", "-C"]).arg(format!("metadata={:x}", hasher.finish()));
    let finished = cargo.deadline(timeout).try_finish();
    let finished =
        finished.map_err(Failure::program(format_args!("start {}", program.display())))?;
    let said = finished.stderr_text();
    if finished.timed_out {
        let seconds = timeout.as_secs();
        return Ok(Built::Failed(format!("{said}the build was stopped after {seconds} s")));
    }
    if !finished.status.success() {
        return Ok(Built::Failed(said));
    }
    let messages = finished.stdout_text();
    let executable = messages.lines().rev().find_map(|line| {
        let message = serde_json::from_str::<Value>(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    let Some(executable) = executable else {
        return Ok(Built::Failed("the package has no program: src/main.rs is missing".to_owned()));
    };
    let copy = scratch::folder()?.join(executable.file_name().unwrap_or_default());
    // A program that runs cannot be written to: ETXTBSY.
    let _ = fs::remove_file(&copy);
    fs::copy(&executable, &copy)
        .map_err(Failure::file(format_args!("copy {}", executable.display())))?;
    Ok(Built::Program { path: copy, warnings: said })
}
