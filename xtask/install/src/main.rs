//! Recipes installed with their man pages and completions: `cargo xtask install` builds and starts this
//! program. All of it is made from what `--help` and `--explain` print: nothing is written twice.

mod complete;
mod help;
mod man;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;
use xtask::{Failure, Output, cargo};

use help::Help;

/// Installing.
#[derive(FromArgs)]
struct Install {
    #[argh(subcommand)]
    command: Subcommand,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Subcommand {
    Install(Args),
}

/// Install recipes with their man pages and completions for bash, zsh and fish.
#[derive(FromArgs)]
#[argh(subcommand, name = "install")]
struct Args {
    /// the recipes and tools to install; all of them where none is named
    #[argh(positional)]
    names: Vec<String>,

    /// where bin/ and share/ are, or are made (~/.local)
    #[argh(option, arg_name = "dir")]
    prefix: Option<PathBuf>,
}

fn main() -> ExitCode {
    xtask::main(|Install { command: Subcommand::Install(args) }, out| run(&args, out))
}

fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let known = netcheck::recipes();
    let names = if args.names.is_empty() { &known } else { &args.names };
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(Failure::Usage(format!("no recipe {name:?}; `cargo xtask list` has them")));
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local"));
    let prefix = args.prefix.clone().or_else(home);
    let Some(prefix) = prefix else {
        return Err(Failure::Usage("--prefix is needed where HOME is not set".to_owned()));
    };
    // cargo runs in the root of the workspace.
    let prefix = std::path::absolute(&prefix).map_err(Failure::file(prefix.display()))?;
    for name in names {
        let mut install = cargo(["install", "--quiet", "--locked", "--force", "--path"]);
        install.arg(netcheck::workspace().join("crates").join(name)).arg("--root").arg(&prefix);
        let status = install.status().map_err(Failure::program("run cargo"))?;
        if !status.success() {
            return Err(Failure::Broken(format!("cargo install of {name} failed")));
        }
        let binary = prefix.join("bin").join(name);
        for file in beside(name, &binary, &prefix)? {
            out.line(file.display())?;
        }
    }
    Ok(true)
}

/// Writes the man page and the completions of a program; the files.
fn beside(name: &str, binary: &Path, prefix: &Path) -> Result<Vec<PathBuf>, Failure> {
    let help = Help::parse(&said(binary, "--help")?);
    let page = man::page(name, &help, &said(binary, "--explain")?, &date(name));
    let share = prefix.join("share");
    let mut files = vec![(share.join("man/man1").join(format!("{name}.1")), page)];
    files.extend(complete::scripts(name, &help).map(|(path, text)| (share.join(path), text)));
    let mut written = vec![binary.to_owned()];
    for (path, text) in files {
        let folder = path.parent().unwrap_or(prefix);
        fs::create_dir_all(folder).map_err(Failure::file(folder.display()))?;
        fs::write(&path, text).map_err(Failure::file(path.display()))?;
        written.push(path);
    }
    Ok(written)
}

fn said(binary: &Path, option: &str) -> Result<String, Failure> {
    let output = Command::new(binary).arg(option).output();
    let output = output.map_err(Failure::program(format_args!("run {}", binary.display())))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The day of the last change of a recipe; without git, today.
fn date(name: &str) -> String {
    let words = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(netcheck::workspace()).output();
        let text = String::from_utf8_lossy(&output.ok()?.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let path = format!("crates/{name}");
    words("git", &["log", "-1", "--format=%cs", "--", &path])
        .or_else(|| words("date", &["-u", "+%F"]))
        .unwrap_or_default()
}
