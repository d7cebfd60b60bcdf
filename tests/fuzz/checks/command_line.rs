//! What must hold for every command line, and for every value of an option.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use netcore::addr::{Host, inet_aton};
use netcore::cli::{Asked, Recipe, read};
use netcore::number::{at_least_one, whole};
use netcore::port::{self, ListenPort, Port};
use netcore::time::{Span, Timeout};

use super::seeded::Seeds;

#[expect(dead_code, reason = "only its declaration is used")]
#[path = "../../../crates/echo-load/src/args.rs"]
mod echo_load;
#[expect(dead_code, reason = "only its declaration is used")]
#[path = "../../../crates/forking-echo/src/args.rs"]
mod forking_echo;
#[expect(dead_code, reason = "only its declaration is used")]
#[path = "../../../crates/socket-errors/src/args.rs"]
mod socket_errors;

pub(crate) const SEEDS: Seeds = &[
    (b"--port\n7777\n--connections=8\n-vq\n--size\n64K\n--duration\n1.5s", "refused"),
    (b"-p7777\n-c2\n-d\n200ms\n--rate\n1000\n--bulk\n--idle-timeout\nnone\n-4", "taken"),
    (b"--port\n80\n--max-children\n0x10\n--when-full\nrefuse\n--host\n::1", "taken"),
    (b"--host\nfe80::1%lo\n--file\n/a?b\n--timeout\n1min\n-v6\n--max-bytes\n1M", "taken"),
    (b"localhost\n7\nhello", "refused"),
    (b"http://localhost:8000/a\n", "refused"),
    (b"--help", "printed"),
    (b"-Vx", "printed"),
    (b"--\n-h\n--provoke", "refused"),
];

pub(crate) const WORDS: &[&[u8]] = &[
    b"\n",
    b"--",
    b"-",
    b"=",
    b"\n--port\n",
    b"-p",
    b"--host\n",
    b"--help",
    b"-h",
    b"--explain",
    b"-V",
    b"-vv",
    b"--json",
    b"--timeout=",
    b"--size=",
    b"none",
    b"0",
    b"65536",
    b"64K",
    b"1G",
    b"0x1000",
    b"1.5s",
    b"200ms",
    b"9d",
    b"36500d",
    b"-1",
    b"+1",
    b"1e3",
    b"127.0.0.1",
    b"010.0.0.1",
    b"0x7f.1",
    b"[::1]",
    b"%lo",
    b"fe80::1",
    b"::ffff:1.2.3.4",
    b"a.example.",
    b"xn--",
    b"\xff",
    b"\xc3\xa9",
    b"\x1b[",
    b"\0",
    b" ",
    b".",
    b"http://",
    b"/a/b",
];

const RECIPE: Recipe = Recipe {
    name: "demo",
    version: "1.2.3",
    source: "//! The title.\n",
    exit_codes: &[(0, ""), (2, "")],
    aliases: &[("--max-children", "--max-clients")],
    moved: &[("--provoke", "make-errors")],
};

/// Checks a command line, a word a line, of one of three programs, and each word as a value.
///
/// Returns what becomes of it.
///
/// # Panics
/// When something does not hold.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    let words = bytes.split(|byte| *byte == b'\n');
    let argv: Vec<OsString> = words.map(|word| OsString::from_vec(word.to_vec())).collect();
    argv.iter().filter_map(|word| word.to_str()).for_each(value);
    match bytes.len() % 3 {
        0 => end::<socket_errors::Args>(&argv),
        1 => end::<echo_load::Args>(&argv),
        _ => end::<forking_echo::Args>(&argv),
    }
}

fn end<A: FromArgs + ArgsInfo>(argv: &[OsString]) -> &'static str {
    match read::<A>(&RECIPE, argv.iter().cloned()) {
        Ok(Asked::Run(_)) => "taken",
        Ok(Asked::Print(text)) => {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            "printed"
        }
        Err(line) => {
            // One line, and a hint below it at most.
            let line = line.replacen("\nhint: demo --", "", 1);
            assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
            "refused"
        }
    }
}

fn value(text: &str) {
    number(text);
    duration(text);
    host(text);
    // A name would be looked up in a file, again and again.
    let port = port::number(text);
    if port == Ok(None) {
        assert!(!text.bytes().all(|byte| byte.is_ascii_digit()) || text.is_empty(), "{text}");
        return;
    }
    let exact = text.parse::<u16>().ok().filter(|port| port.to_string() == text);
    assert_eq!(text.parse::<ListenPort>().ok().map(|port| port.0), exact, "{text}");
    let connected = text.parse::<Port>();
    assert_eq!(
        connected.as_ref().ok().map(|port| port.0),
        exact.filter(|port| *port > 0),
        "{text}"
    );
    refusal(connected.err());
}

/// Why a value is refused is shown to a person.
fn refusal(why: Option<String>) {
    assert!(why.is_none_or(|why| !why.is_empty() && !why.chars().any(char::is_control)));
}

fn number(text: &str) {
    let small = whole::<u16>(text);
    let large = whole::<u64>(text);
    assert_eq!(
        small.clone().ok(),
        large.clone().ok().and_then(|number| u16::try_from(number).ok())
    );
    assert_eq!(at_least_one::<u64>(text).ok(), large.clone().ok().filter(|number| *number > 0));
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = text.parse::<u64>().ok().filter(|_| is_digits);
    assert!(plain.is_none() || large == Ok(plain.unwrap_or_default()), "{text}");
    if let Ok(number) = large {
        assert_eq!(whole(&number.to_string()), Ok(number), "{text}");
        assert_eq!(whole(&format!("{number:#x}")), Ok(number), "{text}");
    }
    refusal(small.err());
}

fn duration(text: &str) {
    let span = text.parse::<Span>();
    match text.parse::<Timeout>() {
        Ok(timeout) => {
            assert_eq!(timeout.duration(), span.ok().map(|span| span.0), "{text}");
            assert!(timeout.duration().is_none_or(|duration| duration >= Duration::from_micros(1)));
            // It can be printed, read again, and added to a clock.
            assert_eq!(timeout.to_string().parse(), Ok(timeout), "{text}");
            assert_eq!(timeout.deadline().is_some(), text != "none", "{text}");
        }
        Err(why) => {
            let is_short = |span: Span| span.0 < Duration::from_micros(1);
            assert!(span.is_ok_and(is_short) || text.parse::<Span>().is_err(), "{text}");
            refusal(Some(why));
        }
    }
}

fn host(text: &str) {
    let host = match text.parse::<Host>() {
        Ok(host) => host,
        Err(why) => return refusal(Some(why)),
    };
    assert_eq!(host.to_string().parse().as_ref(), Ok(&host), "{text}");
    match &host {
        Host::Literal { ip, .. } => {
            let bare = text.trim_matches(['[', ']']).split('%').next().unwrap_or_default();
            let v4 = bare.parse::<Ipv4Addr>().map(Into::into);
            assert_eq!(v4.or(bare.parse::<Ipv6Addr>().map(Into::into)).as_ref(), Ok(ip), "{text}");
        }
        // No resolver takes a name for an address, nor for two words.
        Host::Name(name) => {
            assert!(inet_aton(name).is_none(), "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            );
        }
    }
}
