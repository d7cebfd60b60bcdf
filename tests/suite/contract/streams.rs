//! Standard input, output and error: gone, full, closed, and what is written to them.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use netcheck::peer::{refused_datagrams, refused_port};
use netcheck::{Finished, Header, Need, Run, Server, Signal, Skip, bin, evidence, need};
use serde_json::Value;

use super::{Kind, Tool, Topic, topics};
use crate::try_it::{DOCUMENTED, has, shell};

pub(super) const TOPICS: &[(&str, Kind, Topic)] = topics![
    Any:
        a_reader_that_has_gone_ends_it_quietly,
        a_full_disk_is_74,
        closed_descriptors_are_survived,
        no_output_has_an_escape_sequence,
        json_of_a_usage_error_is_an_object;
    Server:
        no_socket_of_a_server_is_a_standard_descriptor,
        json_of_a_server_is_one_object_a_line,
        json_of_a_server_that_fails_is_an_object;
    Client:
        no_socket_of_a_client_is_a_standard_descriptor,
        json_of_a_client_is_one_object_a_line,
        json_of_a_client_that_fails_is_an_object;
];

const SOON: Duration = Duration::from_secs(10);

/// One of the standard descriptors closed, and all of them.
const CLOSED: [&str; 4] = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"];

/// Command lines that print, and the server that the last of them asks.
fn printing(tool: &Tool) -> (Vec<Vec<String>>, Option<Server>) {
    let mut lines = ["--help", "--explain", "--version"].map(|line| vec![line.to_owned()]).to_vec();
    let partner = (tool.kind == Kind::Client).then(|| tool.partner());
    if tool.kind == Kind::Server {
        lines.push(tool.needed("0"));
    } else if let Some(server) = &partner {
        lines.push(tool.needed(&server.address().port().to_string()));
    }
    (lines, partner)
}

fn a_reader_that_has_gone_ends_it_quietly(tool: &Tool) -> Result<(), Skip> {
    /// The shell writes until it fails, so that the reader has surely gone when the program begins.
    /// The program itself has SIGPIPE as everyone has it.
    const HEAD: &str = r#"exec 3>&1
        { trap '' PIPE; while echo; do :; done 2>/dev/null; trap - PIPE
          "$@" 3>&-; echo "$?" >&3; } | head -n 0"#;
    let (lines, _partner) = printing(tool);
    for line in lines {
        let run = Run::script(HEAD).arg(bin(&tool.name)).args(&line);
        let Finished { stdout, stderr, timed_out, .. } = run.finish();
        let said = String::from_utf8_lossy(&stderr);
        assert!(!timed_out && stdout == b"0\n" && said.is_empty(), "{line:?}: {stdout:?}, {said}");
    }
    Ok(())
}

fn a_full_disk_is_74(tool: &Tool) -> Result<(), Skip> {
    let (lines, _partner) = printing(tool);
    let error = "write to standard output: No space left on device (ENOSPC)";
    for line in lines {
        let finished = tool.redirected("> /dev/full", &line).finish();
        assert_eq!(finished.code(), Some(74), "{line:?}: {finished:?}");
        assert_eq!(finished.stderr_text(), format!("{}: {error}\n", tool.name), "{line:?}");
    }
    // Where there is no room for the error, there still is an exit code.
    let finished = tool.redirected("2> /dev/full", ["--no-such-option"]).finish();
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    Ok(())
}

fn closed_descriptors_are_survived(tool: &Tool) -> Result<(), Skip> {
    for closed in CLOSED {
        for (line, code) in [("--help", 0), ("--explain", 0), ("--version", 0), ("--no-such", 2)] {
            let finished = tool.redirected(closed, [line]).finish();
            // A panic would be 101, or SIGABRT.
            assert_eq!(finished.code(), Some(code), "{line} {closed}: {finished:?}");
        }
    }
    Ok(())
}

fn no_socket_of_a_server_is_a_standard_descriptor(tool: &Tool) -> Result<(), Skip> {
    for closed in CLOSED {
        let server = tool.redirected(closed, tool.needed("0")).start();
        let is_socket = |target: &String| target.starts_with("socket:");
        // It may have nowhere to say that it listens: asleep, with a socket, it waits for clients.
        let waiting = || {
            let open = evidence::descriptors(server.pid());
            let asleep = evidence::state(server.pid()) == Some('S');
            (asleep && open.values().any(is_socket)).then_some(open)
        };
        let open = evidence::wait_until(SOON, waiting);
        let open = open.unwrap_or_else(|| panic!("{closed}: {}", server.stderr()));
        // None of the three is free either, for a socket that comes later.
        for fd in 0..=2 {
            assert!(open.get(&fd).is_some_and(|to| !is_socket(to)), "{closed}: {fd} of {open:?}");
        }
        server.signal(Signal::SIGTERM);
        let status = server.wait(SOON).expect("it ends");
        assert_eq!(status.code(), Some(0), "{closed}: {}", server.stderr());
    }
    Ok(())
}

fn no_socket_of_a_client_is_a_standard_descriptor(tool: &Tool) -> Result<(), Skip> {
    need(Need::Strace)?;
    let partner = tool.partner();
    let port = partner.address().port().to_string();
    for closed in CLOSED {
        let run = tool.redirected(closed, tool.needed(&port));
        let (run, trace) = run.traced(&["trace=socket"]);
        let finished = run.finish();
        assert_eq!(finished.code(), Some(0), "{closed}: {finished:?}");
        let calls = trace.calls();
        assert!(!calls.is_empty(), "{closed}: no socket");
        for call in calls {
            assert!(!["0", "1", "2"].contains(&call.result.as_str()), "{closed}: {call:?}");
        }
    }
    Ok(())
}

fn no_output_has_an_escape_sequence(tool: &Tool) -> Result<(), Skip> {
    let (mut lines, _partner) = printing(tool);
    lines.push(vec!["\u{1b}]0;title\u{7}".to_owned()]);
    // What has no option for its name takes this one.
    let folder = tempfile::tempdir().unwrap();
    for line in lines {
        let run = tool.run(&line).env("NO_COLOR", "1").env("TERM", "xterm-256color");
        let run = run.folder(folder.path()).start();
        // A server goes on until it is told: its readiness line is what there is.
        let listens = match tool.kind {
            Kind::Server => line == tool.needed("0"),
            Kind::Named => !line[0].starts_with("--"),
            Kind::Any | Kind::Client => false,
        };
        if listens {
            // What is no name for it is refused.
            let refused = || tool.kind == Kind::Named && !run.still_running();
            let listens = || (run.stdout().contains('\n') || refused()).then_some(());
            evidence::wait_until(SOON, listens).expect("a readiness line");
            run.signal(Signal::SIGTERM);
        }
        let status = run.wait(SOON).expect("it ends");
        assert_eq!(status.signal(), None);
        let printed = run.stdout() + &run.stderr();
        assert!(!printed.contains('\u{1b}'), "{line:?}: {printed:?}");
    }
    Ok(())
}

/// That each line is an object with a type, whose numbers are numbers. Returns the types.
fn types(lines: &str) -> Vec<String> {
    let one = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        let object = value.as_object().unwrap_or_else(|| panic!("no object: {line}"));
        for (key, value) in object {
            let counts = ["port", "pid", "bytes", "sent", "received"].contains(&key.as_str());
            if counts || key.ends_with("_ns") {
                assert!(value.is_u64(), "{key} of {line}");
            }
        }
        object.get("type").and_then(Value::as_str).expect("a type").to_owned()
    };
    lines.lines().map(one).collect()
}

fn json_of_a_server_is_one_object_a_line(tool: &Tool) -> Result<(), Skip> {
    if !tool.has("--json") {
        return Ok(());
    }
    let server = Server::start_run(tool.run(tool.needed("0")).arg("--json"));
    // The client of its own header gives it something to tell.
    let typed = Header::read(&tool.name).transcript.into_iter().flat_map(|block| block.typed);
    let client = typed.filter(|typed| !typed.background).map(|typed| typed.command).next();
    let client = client.expect("a client in its header");
    has(client.split(' ').next().unwrap_or_default())?;
    let line = client.replace(DOCUMENTED, &server.address().port().to_string());
    let finished = shell(&line).finish();
    assert_eq!(finished.code(), Some(0), "{line}: {finished:?}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0));
    let types = types(&server.stdout());
    assert!(types.len() > 1 && types[0] == "listening", "{types:?}");
    let ready: Value = serde_json::from_str(server.readiness()).unwrap();
    assert_eq!(ready["address"], server.address().ip().to_string());
    assert_eq!(ready["port"], server.address().port());
    Ok(())
}

fn json_of_a_client_is_one_object_a_line(tool: &Tool) -> Result<(), Skip> {
    if tool.has("--json") {
        let partner = tool.partner();
        let args = tool.needed(&partner.address().port().to_string());
        let finished = tool.run(args).arg("--json").finish();
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        assert!(!types(&finished.stdout_text()).is_empty(), "{finished:?}");
    }
    Ok(())
}

/// It, started so that it fails: with `--json` the line on standard error is an object on standard
/// output too.
fn is_an_object(tool: &Tool, args: &[String], code: i32) {
    if !tool.has("--json") {
        return;
    }
    let finished = tool.run(args).arg("--json").finish();
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    let objects = finished.stdout_text();
    types(&objects);
    let objects = objects.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let said = finished.stderr_text();
    let said = said.lines().next().expect("a line").strip_prefix(&format!("{}: ", tool.name));
    let says_so = |object: &Value| {
        let [attempt, reason] = ["attempt", "reason"].map(|key| object[key].as_str());
        let line = match attempt {
            Some("") => reason.map(str::to_owned),
            _ => attempt.zip(reason).map(|(attempt, reason)| format!("{attempt}: {reason}")),
        };
        object["type"] == "error" && object["code"] == code && line.as_deref() == said
    };
    assert_eq!(objects.filter(says_so).count(), 1, "{finished:?}");
}

fn json_of_a_usage_error_is_an_object(tool: &Tool) -> Result<(), Skip> {
    is_an_object(tool, &["--no-such-option".to_owned()], 2);
    // Without it, or behind `--`, there is none.
    let finished = tool.run(["--no-such-option", "--", "--json"]).finish();
    assert!(finished.code() == Some(2) && finished.stdout.is_empty(), "{finished:?}");
    Ok(())
}

fn json_of_a_server_that_fails_is_an_object(tool: &Tool) -> Result<(), Skip> {
    let server = Server::start_run(tool.run(tool.needed("0")));
    is_an_object(tool, &tool.needed(&server.address().port().to_string()), 71);
    Ok(())
}

fn json_of_a_client_that_fails_is_an_object(tool: &Tool) -> Result<(), Skip> {
    let (stream, datagram) = (refused_port(), refused_datagrams());
    let nobody = if tool.datagrams { datagram.address() } else { stream.address() };
    let mut args = tool.needed(&nobody.port().to_string());
    args.extend(["--host".to_owned(), "127.0.0.1".to_owned()]);
    is_an_object(tool, &args, 69);
    Ok(())
}
