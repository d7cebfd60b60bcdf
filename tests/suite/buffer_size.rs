//! buffer-size, compared with what this process is told by the same kernel.

mod experiments;

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, evidence, need};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "buffer_size",
        tests![
            without_options_every_line_is_as_documented,
            each_size_is_what_another_process_reads_back,
            the_limit_that_it_names_is_the_sysctl,
            a_size_that_is_no_int_reaches_no_socket,
            a_size_is_asked_before_it_is_read_back,
            less_than_asked_is_warned_of_and_nothing_else_is,
            a_limit_that_is_not_shown_is_found_out,
            force_without_the_right_is_77,
            force_of_nothing_is_a_usage_error,
            an_option_that_has_moved_names_its_program,
            jq_reads_its_json,
        ],
    );
    trials.extend(experiments::trials());
    trials.extend(topic("buffer_size::as_root", tests![force_passes_the_limit]));
    trials
}

const SOON: Duration = Duration::from_secs(10);

fn run(args: &[&str]) -> Finished {
    Run::new("buffer-size").args(args).deadline(Duration::from_secs(60)).finish()
}

/// The objects that it prints with `--json`; it ends with 0.
fn objects(args: &[&str]) -> Vec<Value> {
    let finished = run(&[args, &["--json"]].concat());
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let text = finished.stdout_text();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn sysctl(name: &str) -> Result<u64, Skip> {
    let text = fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok();
    let number = text.and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| Skip { reason: format!("needs net.core.{name}") })
}

fn without_options_every_line_is_as_documented() -> Result<(), Skip> {
    let finished = run(&[]);
    let said = finished.stdout_text();
    assert_eq!(finished.code(), Some(0), "{said}{}", finished.stderr_text());
    // Three kinds of sockets, two buffers, a default and six sizes.
    assert_eq!(said.lines().count(), 3 * 2 * 7, "{said}");
    let shown = |line: &str| line.contains("as documented") || line.contains("is not shown here");
    assert!(said.lines().all(shown), "{said}");
    for reason in ["doubled", "floor", "clamped: net.core.wmem_max", "clamped: net.core.rmem_max"] {
        assert!(said.contains(&format!("as documented  {reason}")), "{reason}?\n{said}");
    }
    Ok(())
}

/// A socket of this process, of the kind that an object names.
fn socket_of(object: &Value) -> Socket {
    let (domain, kind) = match object["socket"].as_str() {
        Some("TCP") => (Domain::IPV4, Type::STREAM),
        Some("UDP") => (Domain::IPV4, Type::DGRAM),
        _ => (Domain::UNIX, Type::STREAM),
    };
    Socket::new(domain, kind, None).unwrap()
}

fn each_size_is_what_another_process_reads_back() -> Result<(), Skip> {
    let mut sizes = 0;
    for object in objects(&[]) {
        let socket = socket_of(&object);
        let is_send = object["buffer"] == "send";
        let read = || match is_send {
            true => socket.send_buffer_size().unwrap(),
            false => socket.recv_buffer_size().unwrap(),
        };
        if object["type"] == "default" {
            assert_eq!(object["default"], read(), "{object}");
            continue;
        }
        // The wrapper cuts usize::MAX to the int -1.
        let asked = usize::try_from(object["asked"].as_i64().unwrap()).unwrap_or(usize::MAX);
        match is_send {
            true => socket.set_send_buffer_size(asked).unwrap(),
            false => socket.set_recv_buffer_size(asked).unwrap(),
        }
        assert_eq!(object["read_back"], read(), "{object}");
        sizes += 1;
    }
    assert_eq!(sizes, 3 * 2 * 6);
    Ok(())
}

fn the_limit_that_it_names_is_the_sysctl() -> Result<(), Skip> {
    for (option, name) in [("--send", "wmem_max"), ("--receive", "rmem_max")] {
        let most = sysctl(name)?;
        for (asked, reason) in
            [(most, "doubled".to_owned()), (most + 1, format!("clamped: net.core.{name} = {most}"))]
        {
            if i32::try_from(2 * asked).is_err() {
                return Err(Skip { reason: format!("needs a smaller net.core.{name}") });
            }
            let objects = objects(&[option, &asked.to_string()]);
            let sizes: Vec<&Value> = objects.iter().filter(|one| one["type"] == "size").collect();
            assert_eq!(sizes.len(), 3, "{objects:?}");
            for size in sizes {
                assert_eq!(
                    (&size["read_back"], &size["reason"]),
                    (&(2 * most).into(), &reason.as_str().into())
                );
            }
        }
    }
    Ok(())
}

fn a_size_that_is_no_int_reaches_no_socket() -> Result<(), Skip> {
    need(Need::Strace)?;
    for size in ["-1", "2147483648", "4294967295", "4294967296", "18446744073709551615", "4k", ""] {
        for option in ["--send", "--receive"] {
            let run = Run::new("buffer-size").args([option, size]);
            let (run, trace) = run.traced(&["trace=%network"]);
            let finished = run.finish();
            let said = finished.stderr_text();
            assert_eq!(finished.code(), Some(2), "{option} {size}: {said}");
            assert!(said.contains("from 0 to 2147483647"), "{said}");
            assert_eq!(trace.calls(), [], "{option} {size}");
        }
    }
    Ok(())
}

fn a_size_is_asked_before_it_is_read_back() -> Result<(), Skip> {
    need(Need::Strace)?;
    let run = Run::new("buffer-size").args(["--receive", "4096"]);
    let (run, trace) = run.traced(&["trace=setsockopt,getsockopt"]);
    assert_eq!(run.finish().code(), Some(0));
    let complete = || {
        let calls = trace.calls();
        // Without the first of each, which finds out the floor.
        let asked = |at: &usize| calls[*at].args.contains("SO_RCVBUF, [4096]");
        let asked: Vec<usize> = (0..calls.len()).filter(asked).collect();
        let read = |at: &usize| calls.get(at + 1).is_some_and(|call| call.args.contains("[8192]"));
        (asked.len() == 3 && asked.iter().all(read)).then_some(())
    };
    assert!(evidence::wait_until(SOON, complete).is_some(), "{:?}", trace.calls());
    Ok(())
}

fn less_than_asked_is_warned_of_and_nothing_else_is() -> Result<(), Skip> {
    for size in ["0", "1", "4096"] {
        let finished = run(&["--send", size, "--receive", size]);
        assert_eq!((finished.code(), finished.stderr_text()), (Some(0), String::new()), "{size}");
    }
    let finished = run(&["--send", "2147483647"]);
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(0), "{said}");
    let warned = |line: &str| line.contains(": less than 2147483647 is in effect: clamped");
    assert!(said.lines().count() == 3 && said.lines().all(warned), "{said}");
    Ok(())
}

fn a_limit_that_is_not_shown_is_found_out() -> Result<(), Skip> {
    need(Need::UserNamespace)?;
    let most = sysctl("wmem_max")?;
    let script = r#"mount -t tmpfs none /proc/sys/net/core || exit 99; exec "$@""#;
    let run = Run::script(script).arg(bin("buffer-size")).args(["--send", "2147483647"]);
    let finished = run.unshared(&["--mount"]).finish();
    if finished.code() == Some(99) {
        return Err(Skip { reason: "needs mounts in a user namespace".to_owned() });
    }
    let said = finished.stdout_text();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    let clamped =
        format!("read back {}  as documented  clamped: net.core.wmem_max = {most}", 2 * most);
    assert_eq!(said.matches(&clamped).count(), 3, "{said}");
    assert!(said.contains("net.core.wmem_default is not shown here"), "{said}");
    Ok(())
}

fn force_passes_the_limit() -> Result<(), Skip> {
    for (option, name) in [("--send", "wmem_max"), ("--receive", "rmem_max")] {
        let asked = sysctl(name)? + 1;
        let finished = run(&[option, &asked.to_string(), "--force"]);
        if finished.code() == Some(77) {
            return Err(Skip { reason: "needs CAP_NET_ADMIN".to_owned() });
        }
        let said = finished.stdout_text();
        let forced = format!("read back {}  as documented  forced", 2 * asked);
        assert_eq!((finished.code(), said.matches(&forced).count()), (Some(0), 3), "{said}");
        assert_eq!(finished.stderr_text(), "");
    }
    Ok(())
}

fn force_without_the_right_is_77() -> Result<(), Skip> {
    for (option, name) in [("--send", "SO_SNDBUFFORCE"), ("--receive", "SO_RCVBUFFORCE")] {
        let run = Run::new("buffer-size").args([option, "4096", "--force"]);
        let finished = run.unprivileged()?.finish();
        let error = "which takes CAP_NET_ADMIN: Operation not permitted (EPERM)";
        let said = finished.stderr_text();
        assert_eq!(finished.code(), Some(77), "{said}");
        assert_eq!(said, format!("buffer-size: setsockopt {name}, {error}\n"));
    }
    Ok(())
}

fn force_of_nothing_is_a_usage_error() -> Result<(), Skip> {
    let finished = run(&["--force"]);
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    assert!(finished.stdout.is_empty() && finished.stderr_text().contains("--force: needs --send"));
    Ok(())
}

fn an_option_that_has_moved_names_its_program() -> Result<(), Skip> {
    let finished = run(&["--nagle"]);
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(2), "{said}");
    assert!(said.starts_with("buffer-size: --nagle: use the program nagle\n"), "{said}");
    Ok(())
}

fn jq_reads_its_json() -> Result<(), Skip> {
    need(Need::Jq)?;
    let script = r#""$1" --send 4096 --json | jq -r "$2""#;
    let filter = r#"select(.type == "size") | "\(.socket) \(.asked) \(.read_back) \(.reason)""#;
    let run = Run::script(script).arg(bin("buffer-size")).arg(filter);
    let said = run.finish().stdout_text();
    assert_eq!(
        said,
        ["TCP", "UDP", "unix"].map(|kind| format!("{kind} 4096 8192 doubled\n")).concat()
    );
    Ok(())
}
