//! `cargo xtask ci`: what must hold before a change is taken, beside the tests.
//!
//! Each step is a command that can be typed; a step that fails shows it, with what it said.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use argh::FromArgs;
use netcheck::{Need, need, require_all};

use xtask::{Failure, Output, cargo};

/// The crate that is installed as a sample of them all, and looked at.
const SAMPLE: &str = "echo-server";

/// The installed server is meant for small machines: more than this is a dependency too many.
const MOST_BYTES: usize = 1_000_000;

/// The library that a program would have to load for the unwinding of panics.
const UNWINDER: &[u8] = b"libgcc_s.so";

/// What someone downloads and builds before the first recipe runs, itself and netcore included.
const MOST_CRATES: usize = 25;

/// Run every check of the project but the tests, and stop at the first that fails.
#[derive(FromArgs)]
#[argh(subcommand, name = "ci")]
pub(crate) struct Args {}

/// How a step ended, with a note to show.
enum Verdict {
    Holds(String),
    Skipped(&'static str),
    Fails(String),
}

/// A step's name, and the function that takes it.
type Step = (&'static str, fn() -> Result<Verdict, Failure>);

const STEPS: &[Step] = &[
    ("fmt", formatted),
    ("clippy", || {
        let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        checked(&mut cargo(lints))
    }),
    ("tidy", || checked(&mut xtask("tidy")?)),
    ("each", || checked(&mut xtask("each")?)),
    ("doc", || {
        let mut doc = cargo(["doc", "--workspace", "--no-deps", "--locked"]);
        checked(doc.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("install", || installed(&["--locked"])),
    ("install without the lockfile", || installed(&[])),
    // One server without a limit, beside its debug build: the bench still works, whatever the machine's
    // pace is today.
    ("bench", || {
        let debug = netcheck::bin("threaded-echo");
        let mut beside = OsString::from("debug=");
        beside.push(debug.parent().unwrap_or(&debug));
        let mut bench = xtask("bench")?;
        let only = "threaded,udp-echo";
        bench.args(["--quick", "--rounds", "1", "--only", only, "--beside"]).arg(beside);
        checked(&mut bench)
    }),
    // No client of ours waits because a queue is full.
    ("bench --defaults", || {
        let options = ["--defaults", "--quick", "--rounds", "1", "--only", "-echo"];
        checked(xtask("bench")?.args(options))
    }),
    // One answer of each client says that it works, and no more.
    ("bench-clock", || match need(Need::Chronyd) {
        Ok(()) => checked(xtask("bench-clock")?.args(["--rounds", "1"])),
        Err(_) => Ok(Verdict::Skipped("needs chronyd")),
    }),
    // A program that fails mostly waits: two processors have time for four.
    ("exercises", || checked(xtask("exercise")?.args(["verify", "--jobs", "4"]))),
    ("typos", || match Command::new("typos").arg("--version").output() {
        Ok(_) => checked(Command::new("typos").current_dir(netcheck::workspace())),
        Err(_) => Ok(Verdict::Skipped("needs typos")),
    }),
    ("deny", denied),
];

/// `REQUIRE_ALL` makes a skip a failure, but for cargo-deny: it takes minutes to build, and
/// what it guards (licences, sources) changes with Cargo.lock only.
pub(crate) fn run(_: &Args, out: &mut Output) -> Result<bool, Failure> {
    let width = STEPS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let (start, mut passed, mut skipped) = (Instant::now(), 0, 0);
    for (name, step) in STEPS {
        out.begin(format_args!("  {name:width$}  "))?;
        let started = Instant::now();
        let verdict = step()?;
        let seconds = started.elapsed().as_secs_f32();
        match verdict {
            Verdict::Holds(note) => {
                passed += 1;
                out.line(format!("ok {seconds:6.1} s  {note}").trim_end())?;
            }
            Verdict::Skipped(why) if !require_all() || why == NO_DENY => {
                skipped += 1;
                out.line(format_args!("skipped: {why}"))?;
            }
            Verdict::Skipped(why) => {
                out.line("missing")?;
                return Err(Failure::Missing(format!(
                    "{name} {why}, and REQUIRE_ALL skips nothing"
                )));
            }
            Verdict::Fails(what) => {
                out.line(format_args!("failed {seconds:6.1} s\n\n{}\n", what.trim_end()))?;
                out.line(format_args!("ci: {name} failed; the steps after it were not run"))?;
                return Ok(false);
            }
        }
    }
    let skips = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    let seconds = start.elapsed().as_secs_f32();
    out.line(format_args!("ci: {passed} steps passed{skips}, {seconds:.0} s"))?;
    Ok(true)
}

/// Runs a command to its end; a failure shows the command, to be typed again, and what it said.
fn checked(command: &mut Command) -> Result<Verdict, Failure> {
    let output =
        command.output().map_err(Failure::program(format_args!("run {}", typed(command))))?;
    if output.status.success() {
        return Ok(Verdict::Holds(String::new()));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let command = typed(command);
    Ok(Verdict::Fails(format!("$ {command}\n{stdout}{stderr}{}", output.status)))
}

/// The command as someone would type it: by name in place of a path, quoted where a shell needs it.
fn typed(command: &Command) -> String {
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy();
        if word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
    };
    let set = command.get_envs().filter_map(|(key, value)| Some((key, quoted(value?))));
    let mut words: Vec<String> =
        set.map(|(key, value)| format!("{}={value}", key.display())).collect();
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    words.push(if program == "xtask" { "cargo xtask".to_owned() } else { quoted(program) });
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// Every file as rustfmt writes it. It does not see the files that a macro declares: the scenarios and
/// the topics of the suite are named to it.
fn formatted() -> Result<Verdict, Failure> {
    let mut fmt = cargo(["fmt", "--all", "--", "--check"]);
    for folder in ["tests/src/exercise", "tests/src/scenario", "tests/suite"] {
        let entries = std::fs::read_dir(netcheck::workspace().join(folder));
        for entry in entries.map_err(Failure::file(format_args!("read {folder}")))?.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(".rs") {
                fmt.arg(Path::new(folder).join(name));
            }
        }
    }
    checked(&mut fmt)
}

/// This very program again: each command is a step as someone would type it.
fn xtask(name: &str) -> Result<Command, Failure> {
    let own = std::env::current_exe().map_err(Failure::program("find the path of xtask"))?;
    let mut command = Command::new(own);
    command.arg(name);
    Ok(command)
}

/// Installs the sample as its README says, and measures what someone would get.
fn installed(options: &[&str]) -> Result<Verdict, Failure> {
    let root = Scratch::new()?;
    let path = format!("crates/{SAMPLE}");
    let mut install = cargo(["install", "--quiet", "--path", &path, "--root"]);
    install.arg(&root.0).args(options);
    if let Verdict::Fails(what) = checked(&mut install)? {
        // `cargo install` asks the registry even for what the lockfile pins and the cache holds.
        let network = ["failed to download", "failed to fetch", "Unable to update registry"];
        let unreachable = network.iter().any(|words| what.contains(words));
        return Ok(match unreachable {
            true => Verdict::Skipped("needs the registry crates.io"),
            false => Verdict::Fails(what),
        });
    }
    let path = root.0.join("bin").join(SAMPLE);
    let program = std::fs::read(&path);
    let program = program.map_err(Failure::file(format_args!("read {}", path.display())))?;
    if program.windows(UNWINDER.len()).any(|bytes| bytes == UNWINDER) {
        return Ok(Verdict::Fails(format!("{SAMPLE} loads libgcc_s; netcore links that in")));
    }
    let (bytes, crates) = (program.len(), normal_dependencies()?);
    let note = format!("{} KB, {crates} crates", bytes / 1000);
    Ok(match bytes < MOST_BYTES && crates <= MOST_CRATES {
        true => Verdict::Holds(note),
        false => Verdict::Fails(format!(
            "{SAMPLE} is {note}; limits are {} KB and {MOST_CRATES} crates",
            MOST_BYTES / 1000
        )),
    })
}

/// How many crates the sample's binary is made of, build-time macros included, itself included.
fn normal_dependencies() -> Result<usize, Failure> {
    let mut tree = cargo(["tree", "--edges", "normal", "--package", SAMPLE, "--prefix", "none"]);
    let output = tree.output().map_err(Failure::program("run cargo tree"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Broken(format!("cargo tree: {}", why.trim_end())));
    }
    // A crate that is named twice carries the mark (*) the second time.
    let text = String::from_utf8_lossy(&output.stdout);
    let crates = text.lines().map(|line| line.trim_end_matches(" (*)"));
    Ok(crates.filter(|line| !line.is_empty()).collect::<BTreeSet<_>>().len())
}

const NO_DENY: &str = "needs cargo-deny";

/// Licences, banned crates and sources. Advisories come over the network and change without us:
/// they are for a scheduled job, not for the verdict on a change.
fn denied() -> Result<Verdict, Failure> {
    let present = cargo(["deny", "--version"]).output().is_ok_and(|run| run.status.success());
    match present {
        true => checked(&mut cargo(["deny", "check", "bans", "licenses", "sources"])),
        false => Ok(Verdict::Skipped(NO_DENY)),
    }
}

/// A directory of our own below the temporary one, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        let path = std::env::temp_dir().join(format!("xtask-install-{}", std::process::id()));
        // create_dir refuses a path that exists: nobody else can have prepared it for us.
        let made = std::fs::create_dir(&path);
        made.map_err(Failure::file(format_args!("create {}", path.display())))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of its temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut doc = Command::new("/opt/rust/bin/cargo");
        doc.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(typed(&doc), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
        assert_eq!(typed(Command::new("/target/debug/xtask").arg("tidy")), "cargo xtask tidy");
    }
}
