//! From a scenario's name to its picture.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use argh::FromArgs;
use netcheck::{Scenario, record};
use tempfile::{NamedTempFile, TempDir};
use xtask::{Failure, Output};

use crate::arrows::{self, Matched};
use crate::choose::Chooser;
use crate::layout::{self, Layout};
use crate::svg::{self, Words};
use crate::tables::{Tables, Trace};
use crate::tell::{self, Told};
use crate::{lines, page, plan, trace};

/// The calls of the harness: of its threads only those that talk with a program are drawn.
const HARNESS_CALLS: &str = "trace=%network,close,dup,?dup2,dup3,fcntl,read,write,readv,writev,\
kill,tgkill,?pidfd_open,?pidfd_send_signal,?clone,clone3,?fork,?vfork,execve,exit_group";

/// Tell a scenario, and draw what really happened.
#[derive(FromArgs)]
#[argh(subcommand, name = "draw")]
pub(crate) struct Args {
    #[argh(positional)]
    name: String,

    /// the picture: FILE.svg, FILE.html, or its data: FILE.jsonl; several of one run
    #[argh(positional)]
    files: Vec<PathBuf>,

    /// write JSON Lines in place of the scenario
    #[argh(switch)]
    json: bool,
}

/// What a file holds, by its extension.
#[derive(Clone, Copy)]
enum Form {
    Svg,
    Page,
    Lines,
}

fn form(file: &Path) -> Result<Form, Failure> {
    match file.extension().and_then(OsStr::to_str) {
        Some("svg") => Ok(Form::Svg),
        Some("html") => Ok(Form::Page),
        Some("jsonl") => Ok(Form::Lines),
        _ => Err(Failure::Usage(format!(
            "--picture {}: the file has to end in .svg, .html or .jsonl",
            file.display()
        ))),
    }
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let mut forms = Vec::new();
    for file in &args.files {
        forms.push((file, form(file)?));
    }
    let scenario = tell::scenario(&args.name)?;
    let folder = TempDir::new().map_err(Failure::file("make a folder for the recording"))?;
    // A program of another user has its file in it.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711))
        .map_err(Failure::file(folder.path().display()))?;
    record::probe(folder.path()).map_err(|why| Failure::Missing(format!("--picture {why}")))?;
    build(scenario)?;
    let code = tell_traced(args, folder.path())?;
    let Some(told) = tell::read(folder.path()) else {
        // It has said why.
        drop(folder);
        std::process::exit(code);
    };
    let holds = code == 0;
    let words = words(scenario, &told, holds);
    let picture = Picture::from_traces(&trace::read(folder.path())?, &words.title)?;
    for act in &picture.acts {
        let wrong = act.overlap().map(|(one, other)| format!("{one} covers {other}"));
        let wrong = wrong.or(act.outside().map(|text| format!("no room for {text}")));
        if let Some(wrong) = wrong {
            return Err(Failure::Broken(format!("a defect of the picture: {wrong}")));
        }
    }
    if picture.acts.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: no picture: no program that strace may follow opens a socket",
            args.name
        )));
    }
    let written = forms.iter().flat_map(|(file, form)| files(file, *form, &picture, &words));
    for (file, text) in written {
        replace(&file, &text)?;
        if !args.json {
            out.line(format_args!("picture: {}", file.display()))?;
        }
    }
    Ok(holds)
}

/// Builds the programs that the story names, so that no compiler runs within it.
fn build(scenario: &Scenario) -> Result<(), Failure> {
    let file = format!("tests/src/scenario/{}.rs", scenario.name.replace('-', "_"));
    let path = netcheck::workspace().join(file);
    let source = fs::read_to_string(&path).map_err(Failure::file(path.display()))?;
    let known = netcheck::recipes();
    for name in source.split('"').filter(|word| known.iter().any(|name| name == word)) {
        netcheck::bin(name);
    }
    Ok(())
}

/// Runs ourselves again, under strace; the exit code. strace lets go of each program when it begins, so
/// that each can have a strace of its own.
fn tell_traced(args: &Args, folder: &Path) -> Result<i32, Failure> {
    let program = std::env::current_exe().map_err(Failure::program("find this program"))?;
    let file = folder.join(format!("{}.strace", trace::HARNESS));
    let mut strace = Command::new("strace");
    strace.args(record::OPTIONS).args(["-b", "execve", "-e", HARNESS_CALLS, "-o"]);
    strace.arg(file).arg("--").arg(program).args(["tell", &args.name]).arg(folder);
    if args.json {
        strace.arg("--json");
    }
    let status = strace.status().map_err(Failure::program("run strace"))?;
    status.code().ok_or_else(|| Failure::Broken(format!("the scenario ended: {status}")))
}

/// What is drawn: the parts of the story, and what they were made from.
pub(crate) struct Picture {
    pub(crate) tables: Tables,
    pub(crate) matched: Matched,
    pub(crate) acts: Vec<Layout>,
}

impl Picture {
    pub(crate) fn from_traces(traces: &[Trace], title: &str) -> Result<Self, Failure> {
        let mut tables = Tables::play(traces);
        let mut matched = arrows::matched(&tables);
        if arrows::settle(&mut tables, &matched) {
            matched = arrows::matched(&tables);
        }
        let up = matched.arrows.iter().find(|it| it.to.is_some_and(|to| to.at < it.from.at));
        if let Some(arrow) = up {
            let kind = arrow.kind.name();
            let why = format!("the recording is incomplete: a {kind} arrived before it was sent");
            return Err(Failure::Broken(why));
        }
        let chooser = Chooser::new(&tables, &matched);
        let acts = plan::acts(&tables, chooser.steps());
        let acts = acts.into_iter().map(|steps| {
            let plan = plan::plan(&tables, &matched, steps);
            layout::layout(&tables, &matched, &chooser, &plan, title)
        });
        let acts = acts.collect();
        Ok(Self { tables, matched, acts })
    }
}

pub(crate) fn words(scenario: &Scenario, told: &Told, holds: bool) -> Words {
    let no = if holds { "" } else { "NO: " };
    let fewer = match told.fewer.as_slice() {
        [] => String::new(),
        all => format!("Drawn with {}: ", all.join(", ")),
    };
    let description: Vec<&str> =
        told.commands.iter().chain(&told.statements).map(String::as_str).collect();
    Words {
        title: format!("{no}{}: {}", scenario.name, scenario.summary),
        commands: format!("{fewer}{}", told.commands.join(" · ")),
        description: description.join("; "),
    }
}

/// The files to write. An SVG has one part of the story.
fn files(file: &Path, form: Form, picture: &Picture, words: &Words) -> Vec<(PathBuf, String)> {
    let svgs = || picture.acts.iter().map(|act| svg::svg(act, words));
    match form {
        Form::Lines => vec![(file.to_owned(), lines::lines(picture))],
        Form::Page => vec![(file.to_owned(), page::page(&svgs().collect::<Vec<_>>(), words))],
        Form::Svg if picture.acts.len() == 1 => {
            svgs().map(|text| (file.to_owned(), text)).collect()
        }
        Form::Svg => (1..)
            .zip(svgs())
            .map(|(number, text)| {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                (file.with_file_name(format!("{stem}-{number}.svg")), text)
            })
            .collect(),
    }
}

/// Writes a file beside, and renames it: the old one stays whole.
fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let attempt = || format!("write {}", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).and_then(|mut beside| {
        beside.write_all(text.as_bytes())?;
        // As a file has it that is created under the umask of most.
        beside.as_file().set_permissions(Permissions::from_mode(0o644))?;
        beside.persist(file).map_err(|error| error.error)
    });
    written.map(drop).map_err(Failure::file(attempt()))
}
