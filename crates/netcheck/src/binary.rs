//! Where the workspace's binaries are: cargo is asked, nothing is guessed.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("netcheck lies two folders below the root").to_path_buf()
}

/// The names of the recipes, sorted: the folders of `crates/` that have a `src/main.rs`.
///
/// # Panics
/// When `crates/` cannot be read.
pub fn recipes() -> Vec<String> {
    let crates = fs::read_dir(workspace().join("crates")).expect("read crates/");
    let mut names: Vec<String> = crates
        .flatten()
        .filter(|folder| folder.path().join("src/main.rs").is_file())
        .map(|folder| folder.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The path of the workspace's binary `name`, built first: once in the life of this process.
///
/// The profile is the harness's own; `NETCHECK_PROFILE=release` in the environment asks for the other.
/// Where a process above has built all, [`BUILT`] says where, and cargo is not asked.
///
/// # Panics
/// When cargo cannot build it; the message is cargo's.
pub fn bin(name: &str) -> PathBuf {
    static PATHS: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    // A build that failed panics with the lock held. The map is whole all the same.
    let mut built = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return path.clone();
    }
    // The harness has programs of its own.
    let package = if [IN_NAMESPACE, GIVE_SOCKET, "forge", "forger"].contains(&name) {
        "netcheck"
    } else {
        name
    };
    let there = env::var_os(BUILT).and_then(|folder| absolute(Path::new(&folder).join(name)).ok());
    let path = there.filter(|path| path.is_file()).unwrap_or_else(|| build(package, name));
    built.insert(name.to_owned(), path.clone());
    path
}

/// The variable of the environment with the folder in which [`build_all`] has put the binaries.
pub const BUILT: &str = "NETCHECK_BUILT";

/// Builds the binaries of all these packages at once, and returns the folder that they are in: the value of
/// [`BUILT`] for programs that use them.
///
/// # Panics
/// As [`bin`].
pub fn build_all(packages: &[&str]) -> PathBuf {
    let mut words = vec!["--bins"];
    for package in packages {
        words.extend(["--package", package]);
    }
    let messages = cargo_build(&words);
    let folder = executables(&messages).find_map(|path| path.parent().map(Path::to_owned));
    folder.unwrap_or_else(|| panic!("no binary in {}", packages.join(", ")))
}

/// The program that runs another in a namespace.
pub(crate) const IN_NAMESPACE: &str = "in-namespace";

/// The program that makes a socket in a namespace.
pub(crate) const GIVE_SOCKET: &str = "give-socket";

fn build(package: &str, name: &str) -> PathBuf {
    let messages = cargo_build(&["--package", package, "--bin", name]);
    executables(&messages)
        .find(|path| path.file_name().is_some_and(|file| file == name))
        .unwrap_or_else(|| panic!("package {package} has no binary {name}"))
}

/// What `cargo build` says of these, one JSON object a line.
fn cargo_build(words: &[&str]) -> String {
    // `cargo test` does not build the binaries of other packages, and a path below target/ would be a
    // guess: CARGO_TARGET_DIR, the profile and the target triple all change it.
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    cargo.args(words);
    let asked = env::var("NETCHECK_PROFILE").is_ok_and(|profile| profile == "release");
    if asked || !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("start cargo");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo build {}:\n{errors}", words.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The value of every `"executable":"…"` in cargo's messages.
fn executables(messages: &str) -> impl Iterator<Item = PathBuf> {
    messages.lines().filter_map(|line| {
        let (_, rest) = line.split_once(r#""executable":""#)?;
        let (path, _) = rest.split_once(r#"","#).or_else(|| rest.split_once(r#""}"#))?;
        Some(PathBuf::from(path.replace(r"\\", r"\").replace(r#"\""#, r#"""#)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null,"fresh":true}
{"reason":"compiler-artifact","executable":"/a \\b/target/debug/echo","fresh":true}
{"reason":"build-finished","success":true}"#;
        let found: Vec<_> = executables(messages).collect();
        assert_eq!(found, [PathBuf::from(r"/a \b/target/debug/echo")]);
    }

    #[test]
    fn the_workspace_root_has_the_lockfile() {
        assert!(workspace().join("Cargo.lock").is_file());
    }

    #[test]
    fn libraries_are_no_recipes() {
        assert!(!recipes().contains(&"netcheck".to_owned()));
    }
}
