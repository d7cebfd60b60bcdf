//! What a command line may look like.

use super::*;
use crate::number::whole;
use crate::seeded;
use proptest::prelude::*;

/// A recipe for these tests.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(example = "{command_name} --port 7 localhost")]
struct Args {
    /// the port
    #[argh(option, short = 'p', from_str_fn(whole))]
    port: u16,
    /// a name
    #[argh(option)]
    name: Option<String>,
    /// more words, given twice for still more, with a description that is longer than a line
    #[argh(switch, short = 'v')]
    verbose: u16,
    /// nothing
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// hosts
    #[argh(positional)]
    host: Vec<String>,
}

const RECIPE: Recipe = Recipe {
    name: "demo",
    version: "1.2.3",
    source: "//! The title.\n//!\n//! # What it shows\nuse std;\n//! no more",
    exit_codes: &[(0, ""), (2, "usage, as they say")],
    aliases: &[("--title", "--name")],
    moved: &[("--split", "another")],
};

fn ask(argv: &[&str]) -> Result<Asked<Args>, String> {
    read(&RECIPE, argv.iter().map(OsString::from))
}

fn args(argv: &[&str]) -> Args {
    match ask(argv) {
        Ok(Asked::Run(args)) => args,
        Ok(Asked::Print(text)) => panic!("{argv:?} printed {text}"),
        Err(usage) => panic!("{argv:?}: {usage}"),
    }
}

fn printed(argv: &[&str]) -> String {
    match ask(argv) {
        Ok(Asked::Print(text)) => text,
        _ => panic!("{argv:?} printed nothing"),
    }
}

fn refused(argv: &[&str]) -> String {
    match ask(argv) {
        Err(usage) => usage,
        _ => panic!("{argv:?} was taken"),
    }
}

#[test]
fn an_option_is_typed_in_every_usual_way() {
    for argv in [&["--port", "80"][..], &["--port=80"], &["-p", "80"], &["-p80"]] {
        assert_eq!(args(argv).port, 80, "{argv:?}");
    }
    let all = args(&["-vvqp80", "--name=a=b", "-v"]);
    assert_eq!((all.verbose, all.quiet, all.name.as_deref()), (3, true, Some("a=b")));
}

#[test]
fn a_host_may_be_named_help_or_like_an_option() {
    assert_eq!(
        args(&["help", "-p1", "-", "-5", "--", "--port", "-h"]).host,
        ["help", "-", "-5", "--port", "-h"]
    );
    assert_eq!(args(&["-p1", "--name", "--help"]).name.as_deref(), Some("--help"));
}

#[test]
fn help_version_and_explain_come_before_required_options() {
    for argv in [&["-h"][..], &["--help"], &["-vh"], &["--port", "x", "--help"]] {
        assert!(printed(argv).starts_with("Usage: demo --port <port> [options] [<host>...]\n"));
    }
    assert_eq!(printed(&["-V"]), "demo 1.2.3");
    assert_eq!(printed(&["--version"]), "demo 1.2.3");
    assert_eq!(printed(&["--explain"]), "The title.\n\n# What it shows");
}

#[test]
fn help_fits_a_terminal_and_ends_with_examples_and_exit_codes() {
    let text = printed(&["--help"]);
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    assert!(text.ends_with("\nEXAMPLES\n  demo --port 7 localhost\n\nEXIT CODES\n  0    done; a server: it was asked to stop, and its clients were served\n  2    usage, as they say\n"), "{text}");
}

#[test]
fn a_usage_error_names_the_option_the_value_and_what_is_accepted() {
    assert_eq!(refused(&["--port", "70000"]), "--port 70000: write a whole number from 0 to 65535");
    let hint = "--port: required\nhint: demo --host local\\u{1b}host --port 7";
    assert_eq!(refused(&["local\u{1b}host", "7", "hello"]), hint);
    assert_eq!(refused(&["hello", "hello"]), "--port: required");
    assert_eq!(refused(&["--port=-1"]), "--port -1: write a whole number from 0 to 65535");
    assert_eq!(refused(&["--port"]), "--port: needs a value, <port>");
    assert_eq!(refused(&["-p"]), "-p: needs a value, <port>");
    assert_eq!(refused(&[]), "--port: required");
    assert_eq!(refused(&["--quiet=yes", "-p1"]), "--quiet: takes no value");
    assert_eq!(refused(&["--nosuch"]), "--nosuch: no such option");
    assert_eq!(refused(&["-p1", "-x"]), "-x: no such option");
    assert_eq!(refused(&["-p1", "-p2"]), "--port: given more than once");
    assert_eq!(
        refused(&["--port", "\x1b': "]),
        "--port \\u{1b}': : write a whole number from 0 to 65535"
    );
}

#[test]
fn a_former_name_is_an_alias_and_an_option_that_moved_names_its_program() {
    for argv in [["-p1", "--title=x"], ["-p1", "--name=x"]] {
        assert_eq!(args(&argv).name.as_deref(), Some("x"));
    }
    assert!(printed(&["--help"]).contains("a name [--title]\n"));
    assert_eq!(refused(&["--split", "3"]), "--split: use the program another");
}

#[test]
fn an_argument_that_is_not_utf_8_is_refused_with_its_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let usage = read::<Args>(&RECIPE, [OsString::from_vec(vec![b'a', 0xff])]).err();
    assert_eq!(usage.as_deref(), Some("a\\xff: not UTF-8"));
}

/// One line, with a hint below it at most.
fn is_clean(usage: &str) -> bool {
    !usage.replacen("\nhint: ", "", 1).chars().any(char::is_control)
}

/// A program that has what a URL has.
#[derive(FromArgs, ArgsInfo)]
struct Request {
    /// the host
    #[argh(option)]
    #[expect(dead_code, reason = "only its declaration is used")]
    host: Option<String>,
    /// the path
    #[argh(option, arg_name = "bytes")]
    #[expect(dead_code, reason = "only its declaration is used")]
    file: Option<String>,
}

#[test]
fn a_url_is_told_in_options() {
    let told = |url: &str| read::<Request>(&RECIPE, [OsString::from(url)]).err().unwrap();
    for (url, options) in [
        ("http://localhost", "--host localhost"),
        ("http://[::1]:8000/a%20b/c.html", "--host [::1] --port 8000 --file /a%20b/c.html"),
        ("http://a/b:80", "--host a --file /b:80"),
    ] {
        let expected = format!("{url}: this program takes options only\nhint: demo {options}");
        assert_eq!(told(url), expected);
    }
    for url in ["https://a", "http://", "http://a/b?c&d", "http://a/$(b)", "http://a/\u{e9}", "a"] {
        assert!(!told(url).contains("hint"), "{url}");
    }
    // Another program has no --file.
    assert_eq!(refused(&["http://a"]), "--port: required");
}

#[test]
fn help_says_how_a_size_is_written() {
    let Ok(Asked::Print(text)) = read::<Request>(&RECIPE, ["-h".into()]) else { panic!("help") };
    assert!(
        text.contains("\n    <bytes>                 a number, 64K, 1M, 1G, or 0x1000\n"),
        "{text}"
    );
    assert!(!printed(&["-h"]).contains("64K"));
}

#[test]
fn a_hint_needs_a_host_and_a_port() {
    for argv in [["", "0"], ["", "7"], ["host", "0"], ["host", "70000"]] {
        assert_eq!(refused(&argv), "--port: required");
    }
}

proptest! {
    #[test]
    fn no_argv_panics_and_every_refusal_is_one_clean_line(argv: Vec<Vec<u8>>) {
        use std::os::unix::ffi::OsStringExt;
        let argv = argv.into_iter().map(OsString::from_vec);
        if let Err(usage) = read::<Args>(&RECIPE, argv) {
            prop_assert!(is_clean(&usage), "{:?}", usage);
        }
    }

    #[test]
    fn no_argv_made_of_options_panics(argv in proptest::collection::vec("(-|--)?(p|port|v|vv|q|help|x|name)?=?[ -~\u{e9}]{0,3}", 0..6)) {
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        if let Err(usage) = ask(&argv) {
            prop_assert!(is_clean(&usage), "{:?}", usage);
        }
    }
}

#[path = "../../../tests/fuzz/checks/command_line.rs"]
mod check;

#[test]
fn the_check_of_the_fuzz_target_holds_for_changed_command_lines() {
    seeded::run(check::SEEDS, check::WORDS, check::check);
}
