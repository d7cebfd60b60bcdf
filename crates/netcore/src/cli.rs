//! What every `main` calls: it reads the command line, runs the recipe, and sets the exit code.
//!
//! `argh` declares the options and parses them. Alone it does not know `--port=80`, `-p80` or `-vv`,
//! takes a host that is named `help` for a request, and ends with 1 on a usage error. So the arguments are put into the one form that it reads.

use std::ffi::OsString;
use std::process::ExitCode;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs};
use nix::sys::signal::Signal;

use crate::error::Error;
use crate::help;
pub use crate::help::Recipe;
use crate::output::Output;
use crate::sys::{Action, set_action};
use crate::text::escape;

/// A [`Recipe`](crate::cli::Recipe) of the calling crate, with the exit codes that it can end with:
/// `recipe!(0 2 71)`, or `recipe!(0 2="usage; or the state is critical" 71)`. An option that had
/// another name keeps it, `alias "--old" = "--new"`; one that is now another program's is refused with
/// the name of that program, `moved "--option" = "program"`.
#[macro_export]
macro_rules! recipe {
    ($($code:literal $(= $meaning:literal)?)+
     $(, alias $old:literal = $new:literal)* $(, moved $option:literal = $program:literal)*) => {
        $crate::cli::Recipe {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            source: include_str!("main.rs"),
            exit_codes: &[$(($code, concat!($($meaning)?))),+],
            aliases: &[$(($old, $new)),*],
            moved: &[$(($option, $program)),*],
        }
    };
}

/// Reads the command line, runs the recipe, and ends with the exit code of its error.
///
/// An error is one line on standard error, `NAME: what was attempted: why`, with a hint below it
/// where one is known. A closed pipe on standard output (`| head`) is no error.
pub fn run<A: FromArgs + ArgsInfo>(
    recipe: &Recipe,
    body: impl FnOnce(&A, &mut Output) -> Result<(), Error>,
) -> ExitCode {
    run_with(recipe, std::env::args_os().skip(1).collect(), body)
}

/// The same for a program that becomes another one when it is done: what follows `--` is a command, and
/// none of it an argument of this program.
pub fn run_before_command<A: FromArgs + ArgsInfo>(
    recipe: &Recipe,
    body: impl FnOnce(&A, &[OsString], &mut Output) -> Result<(), Error>,
) -> ExitCode {
    let mut argv: Vec<OsString> = std::env::args_os().skip(1).collect();
    let end = argv.iter().position(|word| word == "--").unwrap_or(argv.len());
    let command: Vec<OsString> = argv.split_off(end).into_iter().skip(1).collect();
    run_with(recipe, argv, |args, out| body(args, &command, out))
}

fn run_with<A: FromArgs + ArgsInfo>(
    recipe: &Recipe,
    argv: Vec<OsString>,
    body: impl FnOnce(&A, &mut Output) -> Result<(), Error>,
) -> ExitCode {
    let mut out = Output::new(recipe.name, asks_for_json::<A>(&argv));
    // A file at its limit (RLIMIT_FSIZE): EFBIG in place of SIGXFSZ, which would end the program.
    let _ = set_action(Signal::SIGXFSZ, Action::Ignore);
    let result = match read::<A>(recipe, argv) {
        Ok(Asked::Run(args)) => body(&args, &mut out),
        Ok(Asked::Print(text)) => out.line(text.trim_end()),
        Err(usage) => Err(Error::Usage(usage)),
    };
    match result {
        // The reader of a closed pipe (`| head`) has what it wanted.
        Err(error) if error.exit_code() != 0 => {
            out.report(&error);
            if let Error::Usage(_) = error {
                let more = format!("Try '{} --help'.\n", recipe.name);
                let _ = std::io::Write::write_all(&mut std::io::stderr(), more.as_bytes());
            }
        }
        _ => {}
    }
    ExitCode::from(out.worst())
}

/// The signals as the program found them, for a command that it becomes: execve(2) keeps those that are
/// ignored.
pub fn restore_signals() {
    let _ = set_action(Signal::SIGXFSZ, Action::Default);
}

/// Whether `--json` is among the options, for a program that has it: known before the command line is
/// read, which may fail.
fn asks_for_json<A: ArgsInfo>(argv: &[OsString]) -> bool {
    let has = A::get_args_info().flags.iter().any(|flag| flag.long == "--json");
    has && argv.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// What a command line asks for.
pub enum Asked<A> {
    /// The program, with these arguments.
    Run(A),
    /// A text: the help, the version or the lesson.
    Print(String),
}

/// Reads a command line.
///
/// # Errors
/// The line of a usage error, perhaps with a hint below it.
pub fn read<A: FromArgs + ArgsInfo>(
    recipe: &Recipe,
    argv: impl IntoIterator<Item = OsString>,
) -> Result<Asked<A>, String> {
    let info = A::get_args_info();
    let mut words = Vec::new();
    for word in argv {
        let shown = escape(word.as_encoded_bytes());
        words.push(word.into_string().map_err(|_| format!("{shown}: not UTF-8"))?);
    }
    let line = match normalise(recipe, info.flags, words)? {
        Line::Help => return Ok(Asked::Print(help::text(recipe, &info))),
        Line::Version => return Ok(Asked::Print(format!("{} {}", recipe.name, recipe.version))),
        Line::Explain => return Ok(Asked::Print(help::header(recipe.source))),
        Line::Words(words) => words,
    };
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    A::from_args(&[recipe.name], &words).map(Asked::Run).map_err(|early| {
        let refusal = reword(&info, &early.output);
        let hint = match words.split(|word| *word == "--").nth(1) {
            // The order of nc and telnet.
            Some([host, port, ..])
                if refusal == "--port: required" && !host.is_empty() && is_port(port) =>
            {
                format!("--host {} --port {port}", escape(host.as_bytes()))
            }
            Some([word, ..]) if info.flags.iter().any(|flag| flag.long == "--file") => {
                match options_of_url(word) {
                    Some(options) => options,
                    None => return refusal,
                }
            }
            _ => return refusal,
        };
        format!("{refusal}\nhint: {} {hint}", recipe.name)
    })
}

/// What says the same as a URL in the options of this program: `http://HOST:PORT/PATH`.
fn options_of_url(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://").filter(|rest| rest.bytes().all(is_plain))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| is_port(port)) {
        Some((host, port)) => (host, format!(" --port {port}")),
        None => (authority, String::new()),
    };
    let path = if path.is_empty() { String::new() } else { format!(" --file {path}") };
    (!host.is_empty()).then(|| format!("--host {host}{port}{path}"))
}

/// Whether a shell takes it as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%/:@+,=[]".contains(&byte)
}

fn is_port(word: &str) -> bool {
    word.parse().is_ok_and(|port: u16| port > 0)
}

/// A command line in the one form that argh reads.
enum Line {
    Help,
    Version,
    Explain,
    /// Each option and each value a separate word, then `--`, then the positional arguments.
    Words(Vec<String>),
}

/// Splits `--port=80`, `-p80` and `-vv`, finds `--help` and its kin, and moves the positional
/// arguments behind a `--`, where argh takes neither `help` nor `-5` for anything else.
fn normalise(recipe: &Recipe, flags: &[FlagInfo<'_>], argv: Vec<String>) -> Result<Line, String> {
    let (mut options, mut positionals) = (Vec::new(), vec!["--".to_owned()]);
    let mut argv = argv.into_iter();
    while let Some(word) = argv.next() {
        if word == "--" {
            positionals.extend(argv);
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, joined) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            match name {
                "help" => return Ok(Line::Help),
                "version" => return Ok(Line::Version),
                "explain" => return Ok(Line::Explain),
                _ => {}
            }
            let option = format!("--{name}");
            if let Some((_, program)) = recipe.moved.iter().find(|(moved, _)| *moved == option) {
                return Err(format!("{option}: use the program {program}"));
            }
            let alias = recipe.aliases.iter().find(|(alias, _)| *alias == option);
            let known = alias.map_or(option.as_str(), |(_, known)| known);
            let flag = flags.iter().find(|flag| flag.long == known);
            let flag =
                flag.ok_or_else(|| format!("{}: no such option", escape(option.as_bytes())))?;
            push(&mut options, flag, &option, joined, &mut argv)?;
        } else if let Some(mut cluster) =
            word.strip_prefix('-').filter(|rest| is_cluster(rest, flags))
        {
            while let Some(short) = cluster.chars().next() {
                cluster = cluster.get(short.len_utf8()..).unwrap_or_default();
                match short {
                    'h' => return Ok(Line::Help),
                    'V' => return Ok(Line::Version),
                    _ => {}
                }
                let option = format!("-{short}");
                let flag = flags.iter().find(|flag| flag.short == Some(short));
                let flag =
                    flag.ok_or_else(|| format!("{}: no such option", escape(option.as_bytes())))?;
                let takes_value = matches!(flag.kind, FlagInfoKind::Option { .. });
                let joined =
                    (takes_value && !cluster.is_empty()).then(|| std::mem::take(&mut cluster));
                push(&mut options, flag, &option, joined.map(str::to_owned), &mut argv)?;
            }
        } else {
            positionals.push(word);
        }
    }
    options.append(&mut positionals);
    Ok(Line::Words(options))
}

/// Whether what follows a single `-` is short options: `-` alone is a file, `-5` is a number
/// where no option has that name.
fn is_cluster(rest: &str, flags: &[FlagInfo<'_>]) -> bool {
    rest.chars().next().is_some_and(|first| {
        !first.is_ascii_digit() || flags.iter().any(|flag| flag.short == Some(first))
    })
}

/// Adds an option with its value, the joined one or the next word.
fn push(
    options: &mut Vec<String>,
    flag: &FlagInfo<'_>,
    typed: &str,
    joined: Option<String>,
    argv: &mut impl Iterator<Item = String>,
) -> Result<(), String> {
    options.push(flag.long.to_owned());
    match (&flag.kind, joined) {
        (FlagInfoKind::Switch, None) => {}
        (FlagInfoKind::Switch, Some(_)) => return Err(format!("{typed}: takes no value")),
        (FlagInfoKind::Option { .. }, Some(value)) => options.push(value),
        (FlagInfoKind::Option { arg_name }, None) => {
            let value =
                argv.next().ok_or_else(|| format!("{typed}: needs a value, <{arg_name}>"))?;
            options.push(value);
        }
    }
    Ok(())
}

/// argh's message as one line that names the option, the value and what is accepted.
fn reword(info: &CommandInfoWithArgs, message: &str) -> String {
    let message = message.trim_end();
    let parts = |kind: &str| {
        let rest =
            message.strip_prefix("Error parsing ")?.strip_prefix(kind)?.strip_prefix(" '")?;
        let (name, rest) = rest.split_once("' with value '")?;
        // A value may contain the separator too, our reasons do not.
        let (value, why) = rest.rsplit_once("': ")?;
        Some((name, escape(value.as_bytes()), escape(why.as_bytes())))
    };
    if let Some((name, value, why)) = parts("option") {
        return match why.as_str() {
            "duplicate values provided" => format!("{name}: given more than once"),
            _ => format!("{name} {value}: {why}"),
        };
    }
    if let Some((name, value, why)) = parts("positional argument") {
        return format!("{name} {value}: {why}");
    }
    if let Some(missing) = message.strip_prefix("Required options not provided:") {
        let missing: Vec<&str> = missing.split_whitespace().collect();
        return format!("{}: required", missing.join(" "));
    }
    if info.positionals.is_empty() && message.starts_with("Unrecognized argument: ") {
        let word = message.trim_start_matches("Unrecognized argument: ");
        return format!("{}: this program takes options only", escape(word.as_bytes()));
    }
    escape(message.replace('\n', " ").as_bytes())
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
