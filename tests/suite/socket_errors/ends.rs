//! How a request ends. The contract asks these of every client with a server of the workspace; none
//! of them speaks HTTP, so they are asked here.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;

use libtest_mimic::Trial;
use netcheck::peer::SilentListener;
use netcheck::{Need, Run, Signal, Skip, bin, evidence, need};
use serde_json::Value;

use super::{SOON, answers, client};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "socket_errors",
        tests![
            an_answer_that_is_not_2xx_is_1_and_has_its_body,
            options_may_be_joined_and_clustered,
            a_reader_that_has_gone_ends_it_quietly,
            a_full_disk_is_74,
            no_socket_is_a_standard_descriptor,
            a_client_ended_by_a_signal_says_so,
            stages_are_json_that_jq_reads,
            a_path_that_is_wrong_opens_no_socket,
            without_a_server_or_a_path_it_is_a_usage_error,
            a_url_is_told_in_options_that_work,
            an_option_that_has_moved_names_its_program,
            pythons_server_is_understood,
            nginx_is_understood,
        ],
    )
}

const OK: &str = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// What jq makes of the lines.
fn jq(filter: &str, lines: Vec<u8>) -> Result<String, Skip> {
    need(Need::Jq)?;
    let finished = Run::program("jq").args(["-r", filter]).stdin(lines).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    Ok(finished.stdout_text())
}

fn an_answer_that_is_not_2xx_is_1_and_has_its_body() -> Result<(), Skip> {
    for (status, line) in [("404 Not \x07Found", r"404 Not \u{7}Found"), ("301 Moved", "301 Moved")]
    {
        let address = answers(format!("HTTP/1.0 {status}\r\n\r\nsorry"));
        let finished = client(address, &[]).finish();
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        assert_eq!(finished.stdout, b"sorry");
        assert_eq!(finished.stderr_text(), format!("socket-errors: {address}: {line}\n"));
    }
    Ok(())
}

fn options_may_be_joined_and_clustered() -> Result<(), Skip> {
    let forms: [fn(&str) -> Vec<String>; 4] = [
        |port| vec![format!("--port={port}")],
        |port| vec![format!("-p{port}")],
        |port| vec!["-p".to_owned(), port.to_owned()],
        |port| vec![format!("-vv4p{port}")],
    ];
    for form in forms {
        let args = form(&answers(OK).port().to_string());
        let finished = Run::new("socket-errors").args(&args).finish();
        assert_eq!(finished.code(), Some(0), "{args:?}: {finished:?}");
        assert_eq!(finished.stdout, b"hello");
    }
    Ok(())
}

/// It, started by the shell with a redirection such as `>&-`.
fn redirected(address: SocketAddr, redirection: &str) -> Run {
    let args = ["--host", "127.0.0.1", "--port", &address.port().to_string()];
    Run::new("socket-errors").args(args).redirected(redirection)
}

fn a_reader_that_has_gone_ends_it_quietly() -> Result<(), Skip> {
    const HEAD: &str = r#"exec 3>&1
        { trap '' PIPE; while echo; do :; done 2>/dev/null; trap - PIPE
          "$@" 3>&-; echo "$?" >&3; } | head -n 0"#;
    for more in [&[][..], &["--json"]] {
        let port = answers(OK).port().to_string();
        let run = Run::script(HEAD).arg(bin("socket-errors"));
        let finished = run.args(["--host", "127.0.0.1", "--port", &port]).args(more).finish();
        assert_eq!(
            (finished.stdout.as_slice(), finished.stderr_text().as_str()),
            (b"0\n".as_slice(), "")
        );
    }
    Ok(())
}

fn a_full_disk_is_74() -> Result<(), Skip> {
    let finished = redirected(answers(OK), "> /dev/full").finish();
    assert_eq!(finished.code(), Some(74), "{finished:?}");
    let error = "write to standard output: No space left on device (ENOSPC)";
    assert_eq!(finished.stderr_text(), format!("socket-errors: {error}\n"));
    // Where there is no room for an error, there still is its exit code.
    let finished = redirected(answers("nonsense"), "2> /dev/full").finish();
    assert_eq!(finished.code(), Some(65), "{finished:?}");
    Ok(())
}

fn no_socket_is_a_standard_descriptor() -> Result<(), Skip> {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let finished = redirected(answers(OK), closed).finish();
        assert_eq!(finished.code(), Some(0), "{closed}: {finished:?}");
        need(Need::Strace)?;
        let (run, trace) = redirected(answers(OK), closed).traced(&["trace=socket"]);
        assert_eq!(run.finish().code(), Some(0), "{closed}");
        let calls = trace.calls();
        assert!(!calls.is_empty(), "{closed}: no socket");
        assert!(calls.iter().all(|call| !["0", "1", "2"].contains(&call.result.as_str())));
    }
    Ok(())
}

fn a_client_ended_by_a_signal_says_so() -> Result<(), Skip> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let silent = SilentListener::start();
        let process = client(silent.address(), &["--timeout", "none"]).start();
        let has_socket = || {
            let open = evidence::descriptors(process.pid());
            open.values().any(|target| target.starts_with("socket:")).then_some(())
        };
        evidence::wait_until(SOON, has_socket).expect("it connects");
        process.signal(signal);
        let status = process.wait(SOON).expect("it ends");
        assert_eq!(status.signal(), Some(signal as i32), "{}", process.stderr());
    }
    Ok(())
}

fn stages_are_json_that_jq_reads() -> Result<(), Skip> {
    let finished = client(answers(OK), &["--json"]).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let types = jq(".type", finished.stdout.clone())?;
    let expected = "stage stage stage stage stage stage header body stage reply ";
    assert_eq!(types.replace('\n', " "), expected);
    assert_eq!(jq(r#"select(.type == "body") | .payload"#, finished.stdout)?, "\"hello\"\n");

    let finished = client(netcheck::peer::refused_port().address(), &["--json"]).finish();
    assert_eq!(finished.code(), Some(69), "{finished:?}");
    let text = finished.stdout_text();
    assert_eq!(text.matches(r#""type":"error""#).count(), 1, "{text}");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["stage"]), (&"error".into(), &"connect".into()));
    assert_eq!(
        (&last["code"], &last["reason"]),
        (&69.into(), &"Connection refused (ECONNREFUSED)".into())
    );
    assert_eq!(last["errno"], "ECONNREFUSED");
    assert!(last["stage_ns"].as_u64() <= last["duration_ns"].as_u64(), "{last}");
    Ok(())
}

fn a_path_that_is_wrong_opens_no_socket() -> Result<(), Skip> {
    need(Need::Strace)?;
    for path in ["/a b", "/a\nb", "a"] {
        let run = Run::new("socket-errors").args(["--host", "127.0.0.1", "--file", path]);
        let (run, trace) = run.traced(&["trace=%network"]);
        assert_eq!((run.finish().code(), trace.calls()), (Some(2), Vec::new()), "{path:?}");
    }
    Ok(())
}

fn a_url_is_told_in_options_that_work() -> Result<(), Skip> {
    let address = answers(OK);
    let finished = Run::new("socket-errors").arg(format!("http://{address}/a?")).finish();
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(2), "{said}");
    assert!(!said.contains("hint: "), "a shell would change it: {said}");
    let finished = Run::new("socket-errors").arg(format!("http://{address}/a")).finish();
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(2), "{said}");
    let hint = said.lines().find_map(|line| line.strip_prefix("hint: socket-errors ")).unwrap();
    assert_eq!(hint, format!("--host 127.0.0.1 --port {} --file /a", address.port()));
    let finished = Run::new("socket-errors").args(hint.split(' ')).finish();
    assert_eq!((finished.code(), finished.stdout_text()), (Some(0), "hello".to_owned()));
    Ok(())
}

fn without_a_server_or_a_path_it_is_a_usage_error() -> Result<(), Skip> {
    let finished = Run::new("socket-errors").finish();
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(2), "{said}");
    assert!(said.starts_with("socket-errors: --host, --port or --file: required\n"), "{said}");
    Ok(())
}

fn an_option_that_has_moved_names_its_program() -> Result<(), Skip> {
    for args in [&["--provoke", "all"][..], &["--provoke=all"], &["--port", "80", "--provoke"]] {
        let finished = Run::new("socket-errors").args(args).finish();
        let said = finished.stderr_text();
        assert_eq!(finished.code(), Some(2), "{said}");
        assert!(said.starts_with("socket-errors: --provoke: use the program make-errors\n"));
    }
    Ok(())
}

fn pythons_server_is_understood() -> Result<(), Skip> {
    need(Need::Python3)?;
    let (folder, bytes) = served();
    let args = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"];
    let mut python = Run::program("python3").args(args).arg(folder.path()).start();
    // `Serving HTTP on 127.0.0.1 port 40123 (…) ...`
    let line = python.next_line(SOON).expect("it serves");
    let port = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    is_understood(SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())), &bytes);
    Ok(())
}

fn nginx_is_understood() -> Result<(), Skip> {
    need(Need::Nginx)?;
    let (folder, bytes) = served();
    let path = folder.path().join("nginx.conf");
    // A port that was free a moment ago, since nginx can't say which one it took. Where another
    // program was faster it ends, and the next port is tried.
    for _ in 0..5 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "daemon off; master_process off; pid pid; error_log stderr; events {{}}\n\
             http {{ access_log off; client_body_temp_path t; proxy_temp_path t;\n\
             fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;\n\
             server {{ listen {address}; root .; }} }}"
        );
        fs::write(&path, config).unwrap();
        // The paths in it begin at the prefix.
        let nginx = Run::program("nginx").arg("-p").arg(folder.path()).arg("-c").arg(&path).start();
        let listens = || (evidence::is_listening(address) && nginx.still_running()).then_some(());
        let ended = || (!nginx.still_running()).then_some(());
        if evidence::wait_until(SOON, || listens().or_else(ended)).is_some()
            && nginx.still_running()
        {
            is_understood(address, &bytes);
            return Ok(());
        }
    }
    panic!("nginx does not start");
}

/// A folder with a file, for a server that has no other.
fn served() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = netcheck::peer::pattern(3, 300_000);
    fs::write(folder.path().join("file.bin"), &bytes).unwrap();
    (folder, bytes)
}

fn is_understood(server: SocketAddr, bytes: &[u8]) {
    let finished = client(server, &["--file", "/file.bin"]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    assert!(finished.stdout == bytes, "{} bytes", finished.stdout.len());
    let finished = client(server, &["--file", "/no-such-file"]).finish();
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr_text());
}
