//! Every error that make-errors makes is the kernel's own.

use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Skip, bin, need};
use serde_json::Value;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "make_errors",
        tests![
            all_errors_are_made_within_5_s_in_80_columns,
            each_error_comes_from_the_call_that_it_names,
            each_case_can_be_made_alone,
            errors_need_no_network,
            errors_need_no_privilege,
            an_error_that_does_not_come_is_1_and_hides_no_other,
            errors_are_json_that_jq_reads,
            without_a_case_all_errors_are_made,
            the_former_name_of_the_option_is_an_alias,
        ],
    )
}

const CASES: [(&str, &str, &str); 12] = [
    ("too-many-files", "socket", "EMFILE"),
    ("address-in-use", "bind", "EADDRINUSE"),
    ("address-not-available", "bind", "EADDRNOTAVAIL"),
    ("permission", "connect", "EACCES"),
    ("refused", "connect", "ECONNREFUSED"),
    ("timeout", "connect", "ETIMEDOUT"),
    ("already-connected", "connect", "EISCONN"),
    ("not-connected", "recv", "ENOTCONN"),
    ("would-block", "recv", "EAGAIN"),
    ("message-too-long", "send", "EMSGSIZE"),
    ("broken-pipe", "send", "EPIPE"),
    ("reset", "recv", "ECONNRESET"),
];

fn make(case: &str) -> Run {
    Run::new("make-errors").args(["--case", case])
}

/// That all twelve are in the table, each as it should be.
fn complete(finished: &Finished) {
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert!(finished.stderr.is_empty(), "{finished:?}");
    let table = finished.stdout_text();
    let rows: Vec<(&str, &str)> = table
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap_or_default(), words.next().unwrap_or_default())
        })
        .collect();
    assert_eq!(rows, CASES.map(|(case, _, errno)| (case, errno)), "{table}");
}

fn all_errors_are_made_within_5_s_in_80_columns() -> Result<(), Skip> {
    let finished = make("all").finish();
    complete(&finished);
    assert!(finished.elapsed < Duration::from_secs(5), "{:?}", finished.elapsed);
    let table = finished.stdout_text();
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    for label in ["  call   ", "  means  ", "  do     "] {
        assert_eq!(table.lines().filter(|line| line.starts_with(label)).count(), 12, "{table}");
    }
    Ok(())
}

fn each_error_comes_from_the_call_that_it_names() -> Result<(), Skip> {
    need(Need::Strace)?;
    let (run, trace) = make("all").traced(&["trace=socket,bind,connect,recvfrom,sendto"]);
    complete(&run.finish());
    // The connect of a socket that does not block is under way, and no error.
    let failed: Vec<(String, String)> = trace
        .calls()
        .into_iter()
        .filter(|call| call.result.starts_with("-1 ") && !call.result.contains("EINPROGRESS"))
        .map(|call| {
            let errno = call.result.split(' ').nth(1).unwrap_or_default();
            (call.name, errno.to_owned())
        })
        .collect();
    let named = |name: &str| match name {
        "recv" => "recvfrom".to_owned(),
        "send" => "sendto".to_owned(),
        name => name.to_owned(),
    };
    let expected = CASES.map(|(_, call, errno)| (named(call), errno.to_owned()));
    assert_eq!(failed, expected);
    Ok(())
}

fn each_case_can_be_made_alone() -> Result<(), Skip> {
    let listed = make("list").finish();
    assert_eq!(listed.code(), Some(0));
    let names: Vec<String> = listed
        .stdout_text()
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    assert_eq!(names, CASES.map(|(case, ..)| case));
    for (case, _, errno) in CASES {
        let finished = make(case).finish();
        let table = finished.stdout_text();
        assert_eq!((finished.code(), table.lines().count()), (Some(0), 4), "{finished:?}");
        assert!(table.starts_with(case) && table.contains(errno), "{table}");
    }
    Ok(())
}

fn errors_need_no_network() -> Result<(), Skip> {
    need(Need::UserNamespace)?;
    // A network of its own with a loopback interface, and nothing else.
    let script = r#"ip link set lo up; exec "$@""#;
    let found = Run::script("command -v ip").finish().status.success();
    if !found {
        return Err(Skip { reason: "needs ip".to_owned() });
    }
    let run = Run::script(script).arg(bin("make-errors")).args(["--case", "all"]);
    complete(&run.unshared(&["--net"]).finish());
    Ok(())
}

fn errors_need_no_privilege() -> Result<(), Skip> {
    complete(&make("all").unprivileged()?.finish());
    Ok(())
}

fn an_error_that_does_not_come_is_1_and_hides_no_other() -> Result<(), Skip> {
    need(Need::Strace)?;
    // One bind that works although it should not, and one call with another errno.
    let inject = ["inject=bind:retval=0:when=2", "inject=sendto:error=ENOBUFS:when=2"];
    let (run, _trace) = make("all").traced(&["trace=bind,sendto", inject[0], inject[1]]);
    let finished = run.finish();
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    assert!(said.contains("which another socket has: succeeded"), "{said}");
    assert!(said.contains("message-too-long: ENOBUFS, not EMSGSIZE"), "{said}");
    assert_eq!(finished.stdout_text().lines().count(), 11 * 4, "{finished:?}");
    Ok(())
}

fn errors_are_json_that_jq_reads() -> Result<(), Skip> {
    let finished = make("all").arg("--json").finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    for (line, (case, call, errno)) in finished.stdout_text().lines().zip(CASES) {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&row["case"], &row["call"], &row["errno"]),
            (&case.into(), &call.into(), &errno.into())
        );
        assert!(row["number"].is_u64() && row["duration_ns"].is_u64(), "{line}");
        assert!(["text", "here", "means", "do"].iter().all(|key| row[key].is_string()), "{line}");
    }
    let filter = r#"select(.type == "provoked") | .errno"#;
    let expected = CASES.map(|(_, _, errno)| errno).join("\n") + "\n";
    need(Need::Jq)?;
    let jq = Run::program("jq").args(["-r", filter]).stdin(finished.stdout).finish();
    assert_eq!((jq.code(), jq.stdout_text()), (Some(0), expected));
    Ok(())
}

fn without_a_case_all_errors_are_made() -> Result<(), Skip> {
    complete(&Run::new("make-errors").finish());
    Ok(())
}

fn the_former_name_of_the_option_is_an_alias() -> Result<(), Skip> {
    let finished = Run::new("make-errors").args(["--provoke", "list"]).finish();
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert_eq!(finished.stdout_text(), make("list").finish().stdout_text());
    Ok(())
}
