//! Compiles one submission: the compiler alone, in a sandbox, on sources that were taken by name.
//!
//! Cargo builds what an exercise depends on, with its starter, and never sees a submission. What it has called
//! the compiler with for the starter is noted ([`note`]), and is what a submission is compiled with.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use netcheck::Run;
use serde::{Deserialize, Serialize};

use crate::build::{Built, workspace_target};
use crate::sandbox::Sandbox;
use crate::starter;
use crate::task::Task;
use xtask::Failure;

/// Set, it makes this program stand for the compiler; its value is the file of the note.
pub const NOTE: &str = "EXERCISE_COMPILER_NOTE";

/// How long a submission may be compiled.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the compiler is given for an exercise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compiler {
    /// The folder that has its `bin/rustc`.
    pub toolchain: PathBuf,
    /// The folder of what the exercise depends on.
    pub target: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// What the compiler was called with.
#[derive(Serialize, Deserialize)]
struct Call {
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// Where a sandbox has them.
const TOOLCHAIN: &str = "/toolchain";
const TARGET: &str = "/target";

/// Where it has a submission, and its program.
pub(crate) const PLACE: &str = "/exercise";

/// Compiles "$1", the file of the program and the compiler are "$2" and "$3", and writes the program to standard
/// output: nothing in a sandbox can write a file outside.
const SCRIPT: &str = r#"
ulimit -v 6291456
ulimit -t 120
cd "$1"
program=$2
shift 2
"$@" -o "$program" >&2
exec cat "$program"
"#;

impl Compiler {
    /// Builds what the exercise depends on, and its starter. What it depends on is copied to `copy`: another build
    /// may replace it, and a submission would not compile for that reason.
    ///
    /// # Errors
    /// The starter cannot be written or does not build; there is no compiler.
    pub fn prepare(task: &Task, copy: &Path) -> Result<Compiler, Failure> {
        let target = workspace_target().join("grade/target");
        // Each user has one: what root has left there, nobody else could replace.
        let name = format!("{}-{}", task.id(), nix::unistd::getuid());
        let folder = workspace_target().join("grade").join(name);
        let note = folder.with_extension("json");
        fs::create_dir_all(&folder)
            .map_err(Failure::file(format_args!("make {}", folder.display())))?;
        // Two that grade have one place for it.
        let lock = File::create(folder.with_extension("lock"));
        let locked = lock.and_then(|file| file.lock().map(|()| file));
        let _lock = locked.map_err(Failure::file(format_args!("lock {}", folder.display())))?;
        // A file that is new is compiled anew, and the call is noted.
        remove(&folder.join("src"))?;
        remove(&note)?;
        starter::write(task, &task.stubs()?, &folder)?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let own = env::current_exe().map_err(Failure::program("find this program"))?;
        // The user who runs the submissions has to read what is built here.
        let run = Run::script(r#"umask 022; exec "$@""#).arg(cargo);
        let run = run.args(["build", "--quiet", "--offline", "--target-dir"]).arg(&target);
        let run = run.folder(&folder).env("RUSTC_WORKSPACE_WRAPPER", own).env(NOTE, &note);
        let built = run.env("CARGO_INCREMENTAL", "0").deadline(Duration::from_secs(600)).finish();
        if !built.status.success() {
            let why = format!("{}: the starter does not build: {}", task.id(), built.stderr_text());
            return Err(Failure::Broken(why));
        }
        let text = fs::read_to_string(&note);
        let text = text.map_err(Failure::file(format_args!("read {}", note.display())))?;
        let call = serde_json::from_str::<Call>(&text);
        let call = call.map_err(|why| Failure::Broken(format!("{}: {why}", note.display())))?;
        copy_libraries(&target.join("debug/deps"), &copy.join("debug/deps"))
            .map_err(Failure::file(format_args!("copy to {}", copy.display())))?;
        let toolchain = toolchain(&folder)?;
        let (args, env) = (kept(call.args), call.env);
        let mut own = Compiler { toolchain: toolchain.clone(), args, env, target };
        own.stand_in(toolchain, copy.to_owned());
        Ok(own)
    }

    /// The same toolchain and target, where another user may reach them.
    pub(crate) fn stand_in(&mut self, toolchain: PathBuf, target: PathBuf) {
        let (from, to) = (self.target.to_string_lossy(), target.to_string_lossy());
        self.args = self.args.iter().map(|arg| arg.replace(&*from, &to)).collect();
        (self.toolchain, self.target) = (toolchain, target);
    }

    /// Compiles the submission in `folder`, which has its `src`. Without a sandbox it is compiled as this user.
    ///
    /// # Errors
    /// The program cannot be written.
    pub fn compile(
        &self,
        sandbox: Option<&Sandbox>,
        folder: &Path,
        name: &str,
    ) -> Result<Built, Failure> {
        let (toolchain, target) = (self.toolchain.to_string_lossy(), self.target.to_string_lossy());
        let place = folder.to_string_lossy();
        let path = folder.join(name);
        let temporary = path.to_string_lossy();
        let [toolchain, target_there, place, output]: [&str; 4] = match sandbox {
            Some(_) => [TOOLCHAIN, TARGET, PLACE, "/tmp/program"],
            None => [&toolchain, &target, &place, &temporary],
        };
        let run = match sandbox {
            Some(sandbox) => {
                let sandbox = sandbox.clone().show(&self.toolchain, TOOLCHAIN);
                let sandbox =
                    sandbox.show(&self.target, TARGET).show(folder.join("src"), "/exercise/src");
                sandbox.bwrap().args(["--unshare-net", "--"])
            }
            None => Run::program("env").arg("--"),
        };
        let run = run.args(["env", &format!("CARGO_MANIFEST_DIR={place}")]);
        let run = run.args(self.env.iter().map(|(name, value)| format!("{name}={value}")));
        let run = run.args(["sh", "-euc", SCRIPT, "sh", place, output]);
        let run = run.arg(format!("{toolchain}/bin/rustc"));
        let run = run.args(self.args.iter().map(|arg| arg.replace(&*target, target_there)));
        let built = run.bounded().deadline(TIMEOUT).finish();
        let mut said = built.stderr_text();
        // 126 and 127 are the shell's, where it cannot start the compiler.
        let not_started = matches!(built.code(), Some(126 | 127)) || said.starts_with("bwrap: ");
        if not_started || said.starts_with("error: extern location for ") {
            return Err(Failure::Missing(format!("the compiler: {}", said.trim_end())));
        }
        if built.timed_out {
            said += &format!("the compiler was stopped after {} s", TIMEOUT.as_secs());
        } else if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&built.status) {
            said += &format!("the compiler was ended by signal {signal}");
        } else if built.status.success() && built.stdout.is_empty() {
            said += "the compiler has made no program";
        } else if built.status.success() {
            write_program(&path, &built.stdout)
                .map_err(Failure::file(format_args!("write {}", path.display())))?;
            return Ok(Built::Program { path, warnings: said });
        }
        Ok(Built::Failed(said))
    }
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<(), Failure> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(why).map_err(Failure::file(format_args!("remove {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Copies libraries, for every user to read.
fn copy_libraries(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(to)?;
    for folder in to.ancestors().take(3) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let is_library = path.extension().is_some_and(|kind| kind == "rlib" || kind == "so");
        let copy = to.join(path.file_name().unwrap_or_default());
        // A build that replaces it makes a new file: a second name keeps the old one.
        if is_library && !copy.exists() && fs::hard_link(&path, &copy).is_err() {
            fs::copy(&path, &copy)?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

fn write_program(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // What ran there without a sandbox may have left anything.
    let _ = fs::remove_file(path);
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The folder of the compiler that cargo uses: `rustc` itself may be a program that chooses one.
fn toolchain(folder: &Path) -> Result<PathBuf, Failure> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Run::program(rustc).args(["--print", "sysroot"]).folder(folder).finish();
    match asked.status.success() {
        true => Ok(asked.stdout_text().trim_end().into()),
        false => Err(Failure::Missing(format!("rustc --print sysroot: {}", asked.stderr_text()))),
    }
}

/// Without what says where to write, and in which form to report.
fn kept(args: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let dropped = ["--emit", "--error-format", "--json", "--diagnostic-width", "--out-dir"];
        if dropped.contains(&arg.as_str()) {
            args.next();
        } else if arg == "-C" {
            let value = args.next().unwrap_or_default();
            let names_output = ["incremental=", "metadata=", "extra-filename="];
            if !names_output.iter().any(|name| value.starts_with(name)) {
                kept.extend([arg, value]);
            }
        } else if !dropped.iter().any(|name| arg.starts_with(&format!("{name}="))) {
            kept.push(arg);
        }
    }
    kept
}

/// Stands for the compiler: notes how it is called for the program of the package, and becomes it.
pub fn note(file: &Path, words: &[OsString]) -> ExitCode {
    let Some((rustc, args)) = words.split_first() else { return ExitCode::from(2) };
    let texts = || args.iter().map(|arg| arg.to_string_lossy().into_owned());
    if texts().any(|arg| arg == "src/main.rs") {
        let env = env::vars().filter(|(name, _)| {
            name.starts_with("CARGO_PKG_")
                || ["CARGO_CRATE_NAME", "CARGO_BIN_NAME"].contains(&name.as_str())
        });
        let call = Call { args: texts().collect(), env: env.collect() };
        let noted = serde_json::to_string(&call).map_err(io::Error::from);
        if let Err(why) = noted.and_then(|text| fs::write(file, text)) {
            return failed(&why);
        }
    }
    failed(&Command::new(rustc).args(args).exec())
}

fn failed(why: &io::Error) -> ExitCode {
    let _ = io::Write::write_all(&mut io::stderr(), format!("{why}\n").as_bytes());
    ExitCode::from(71)
}
