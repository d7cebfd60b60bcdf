//! The folder that a learner works in: a package of its own, that builds without a network.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{self, Path, PathBuf};

use netcheck::workspace;
use toml::{Table, Value};

use crate::build;
use crate::task::{Sources, Task};
use xtask::Failure;

/// Writes the package into a folder: sources, manifest, the workspace's lock, cargo's settings.
///
/// # Errors
/// A file cannot be read or written.
pub fn write(task: &Task, sources: &Sources, folder: &Path) -> Result<(), Failure> {
    let root = workspace();
    let netcore = root.join("crates/netcore").to_string_lossy().into_owned();
    write_package(task, folder, &netcore)?;
    put(folder, ".cargo/config.toml", &config(&root))?;
    put(folder, "README.md", &readme(task))?;
    write_sources(sources, folder)
}

/// Writes what every starter has, wherever it finds `netcore`.
pub(crate) fn write_package(task: &Task, folder: &Path, netcore: &str) -> Result<(), Failure> {
    let lock = fs::read_to_string(workspace().join("Cargo.lock"));
    let lock = lock.map_err(Failure::file("read Cargo.lock"))?;
    put(folder, "Cargo.toml", &manifest(task, folder, netcore)?)?;
    put(folder, "Cargo.lock", &lock)?;
    put(folder, ".gitignore", "/target\n/.exercise.json\n")
}

/// Writes the sources only.
///
/// # Errors
/// A file cannot be written.
pub fn write_sources(sources: &Sources, folder: &Path) -> Result<(), Failure> {
    sources.iter().try_for_each(|(path, text)| put(folder, path, text))
}

pub(crate) fn put(folder: &Path, path: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(path);
    let write = || -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        // What is the same keeps its time: cargo has nothing to build then.
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        fs::write(&path, text)
    };
    write().map_err(Failure::file(format_args!("write {}", path.display())))
}

/// The recipe's manifest, with all that it inherits written out, and the exercise as its name.
fn manifest(task: &Task, folder: &Path, netcore: &str) -> Result<String, Failure> {
    let dependencies = dependencies(&task.recipe(), netcore)?;
    let [version, edition, rust] = package_fields()?;
    Ok(format!(
        r#"# An exercise: {title}. README.md is the task.
[package]
name = "{id}"
# Another one in each folder: by name and version cargo tells what it has built.
version = "{version}+{place:04x}"
edition = "{edition}"
rust-version = "{rust}"
publish = false

[package.metadata.exercise]
id = "{id}"

[[bin]]
name = "{id}"
path = "src/main.rs"

[dependencies]
{dependencies}

# What your part will use is not used yet.
[lints.rust]
dead_code = "allow"
unused_imports = "allow"
unused_mut = "allow"
unused_variables = "allow"

[profile.dev]
debug = "line-tables-only"

# No part of the workspace that it may lie in.
[workspace]
"#,
        title = task.spec.title,
        id = task.id(),
        place = place(folder),
    ))
}

/// Version, edition and rust-version of every package of the workspace.
pub(crate) fn package_fields() -> Result<[String; 3], Failure> {
    let root = table(&workspace().join("Cargo.toml"))?;
    let package = root.get("workspace").and_then(|it| it.get("package"));
    let field = |name: &str| package.and_then(|it| it.get(name)?.as_str()).unwrap_or_default();
    Ok(["version", "edition", "rust-version"].map(|name| field(name).to_owned()))
}

/// The dependencies of a package, with all that they inherit written out, a line each.
pub(crate) fn dependencies(package: &Path, netcore: &str) -> Result<String, Failure> {
    let root = table(&workspace().join("Cargo.toml"))?;
    let shared = root.get("workspace").and_then(|it| it.get("dependencies"));
    let package = table(&package.join("Cargo.toml"))?;
    let own = package.get("dependencies").and_then(Value::as_table).cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for (name, wanted) in own {
        let mut all = inherited(wanted, shared.and_then(|it| it.get(&name)).cloned());
        if let ("netcore", Value::Table(entry)) = (name.as_str(), &mut all) {
            entry.insert("path".to_owned(), Value::from(netcore));
        }
        lines.push(format!("{name} = {all}"));
    }
    Ok(lines.join("\n"))
}

/// A number for a folder.
fn place(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path::absolute(folder).unwrap_or_default().hash(&mut hasher);
    hasher.finish() % 0x1_0000
}

fn table(path: &Path) -> Result<Table, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(Failure::file(format_args!("read {}", path.display())))?;
    text.parse().map_err(|why| Failure::Broken(format!("{}: {why}", path.display())))
}

/// A dependency with `workspace = true` is the workspace's, with the features of both.
fn inherited(wanted: Value, shared: Option<Value>) -> Value {
    let (Value::Table(mut own), Some(shared)) = (wanted.clone(), shared) else { return wanted };
    if own.remove("workspace").is_none() {
        return wanted;
    }
    let mut all = match shared {
        Value::Table(all) => all,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    for (key, value) in own {
        match (all.get_mut(&key), value) {
            (Some(Value::Array(all)), Value::Array(own)) => all.extend(own),
            (_, value) => drop(all.insert(key, value)),
        }
    }
    Value::Table(all)
}

/// Cargo's settings in the folder: one place for all that is built, no network, and `cargo xtask`.
fn config(root: &Path) -> String {
    let manifest = root.join("Cargo.toml").to_string_lossy().into_owned();
    let target = build::workspace_target().to_string_lossy().into_owned();
    // An array could have words with blanks, but cargo would join it with that of a folder above.
    let alias = match [&manifest, &target].iter().any(|path| path.contains(char::is_whitespace)) {
        true => String::new(),
        false => format!(
            "[alias]\nxtask = \"run --quiet --manifest-path {manifest} --target-dir {target} --package xtask \
             --\"\n\n"
        ),
    };
    let exercises = Value::from(build::target().to_string_lossy().into_owned());
    format!("{alias}[build]\ntarget-dir = {exercises}\n\n[net]\noffline = true\n")
}

fn readme(task: &Task) -> String {
    format!(
        "{}\n\n## Commands\n\n```console\n\
         $ cargo xtask exercise check {id} --watch   # checks again on each save\n\
         $ cargo xtask exercise hint {id}\n\
         $ cargo xtask exercise solution {id}\n\
         $ cargo xtask exercise reset {id}           # keeps what you wrote\n```\n",
        task.for_learner(),
        id = task.id(),
    )
}

/// The line of the first hole in a file of the starter, for an editor: `src/main.rs:230`.
///
/// # Errors
/// A hole is not found, or a file cannot be read.
pub fn first_hole(task: &Task) -> Result<PathBuf, Failure> {
    let stubs = task.stubs()?;
    let place = task.spec.hole.first().and_then(|hole| {
        let (before, _) = stubs.get(&hole.file)?.split_once(&hole.stub)?;
        Some(format!("{}:{}", hole.file, before.lines().count() + 1))
    });
    Ok(place.unwrap_or_default().into())
}
