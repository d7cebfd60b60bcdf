//! `in-namespace [--hostname NAME] ETC PROGRAM [ARGUMENT…]`: runs a program with a network, a name server,
//! files in /etc and a host name of its own, and ends as it does. The scenarios and tests on names run in it.

use std::env::args_os;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let words: Vec<_> = args_os().skip(1).collect();
    let (host, words) = match words.as_slice() {
        [option, host, rest @ ..] if option == "--hostname" => (Some(host.as_os_str()), rest),
        all => (None, all),
    };
    let [etc, program, arguments @ ..] = words else {
        return failed("usage: in-namespace [--hostname NAME] ETC PROGRAM [ARGUMENT...]");
    };
    if let Err(why) = netcheck::namespace::enter(Path::new(etc), host) {
        return failed(&why.to_string());
    }
    let mut command = Command::new(program);
    // When the harness is killed, this process is too, and the program would be left.
    netcheck::sys::end_with_this_thread(&mut command);
    match command.args(arguments).status() {
        // As a shell counts: 128 and the signal.
        Ok(status) => match status.code().or(status.signal().map(|signal| 128 + signal)) {
            Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
            None => failed("the program ended without a status"),
        },
        Err(why) => failed(&format!("{}: {why}", program.display())),
    }
}

/// 125, as env(1) and its kin end when they themselves fail.
fn failed(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "in-namespace: {why}");
    ExitCode::from(125)
}
