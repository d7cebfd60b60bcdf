//! literals: a program reads an IPv4 address as inet_pton(3) does, and refuses what only inet_aton(3) accepts.

use netcheck::quoted;

use super::{Check, Exercise, Fault, Subject, shown};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "literals",
    recipe: "ipv4-convert",
    args: &["{address}"],
    checks: &[
        Check {
            id: "dotted",
            statement: "four decimal numbers are read: each is a byte, the first one is the highest",
            run: dotted,
        },
        Check {
            id: "leading-zero",
            statement: "a number with a leading zero is refused: it may be octal",
            run: |subject| refuses(subject, &["0177.0.0.1", "010.0.0.1", "192.0.2.01", "00.0.0.0"]),
        },
        Check {
            id: "four-numbers",
            statement: "fewer or more than four numbers are refused",
            run: |subject| {
                refuses(subject, &["1.2.3", "127.1", "1.2.3.4.5", "1..2.3", "1.2.3.", ".1.2.3", ""])
            },
        },
        Check {
            id: "range",
            statement: "a number above 255 is refused, however large it is",
            run: |subject| {
                refuses(subject, &["192.0.2.256", "256.0.0.1", "1.999.2.3", "1.2.3.4294967297"])
            },
        },
        Check {
            id: "only-digits",
            statement: "signs, blanks, letters and other digits than 0 to 9 are refused",
            run: |subject| {
                let others = ["+1.2.3.4", "1.2.3.-4", "0x7f.0.0.1", "1.2.3.4x", "1.2.3.४"];
                refuses(
                    subject,
                    &[&others[..], &["192.0.2.1 ", " 192.0.2.1", "1.2.3.4\n"]].concat(),
                )
            },
        },
    ],
};

fn dotted(subject: &Subject) -> Result<String, Fault> {
    let [a, b, c, d, ..] = *subject.bytes(4) else {
        return Err(Fault::Broken("no bytes".to_owned()));
    };
    let all = [[192, 0, 2, 1], [0, 0, 0, 0], [255, 255, 255, 255], [1, 20, 200, 9], [a, b, c, d]];
    for bytes in all {
        let text = bytes.map(|byte| byte.to_string()).join(".");
        let hex = format!("0x{:08x}", u32::from_be_bytes(bytes));
        let printed = accepts(subject, &text)?;
        if !printed.contains(&hex) {
            let expected = format!("for {text} it prints {hex}");
            let lines = printed.lines().find(|line| line.contains("0x")).unwrap_or(&printed);
            return Err(Fault::wrong(&expected, shown(lines.as_bytes()), "its standard output"));
        }
    }
    Ok(format!("{} of {} are printed as 0x and eight digits", all.len(), all.len()))
}

/// What it prints for an address that it has to accept.
fn accepts(subject: &Subject, text: &str) -> Result<String, Fault> {
    let finished = subject.with("{address}", text).finish()?;
    match finished.status.success() {
        true => Ok(finished.stdout_text()),
        false => {
            let expected = format!("it accepts {text}, and ends with 0");
            let said = finished.stderr_text();
            let said = said.lines().next().unwrap_or_default().to_owned();
            Err(Fault::wrong(&expected, finished.status.to_string(), said))
        }
    }
}

/// It accepts an address that is right, and none of these.
fn refuses(subject: &Subject, wrong: &[&str]) -> Result<String, Fault> {
    /// What Rust exits with after a panic.
    const PANIC: i32 = 101;
    accepts(subject, "192.0.2.1")?;
    for &text in wrong {
        let finished = subject.with("{address}", text).finish()?;
        let status = finished.status;
        if !matches!(status.code(), None | Some(0 | PANIC)) {
            continue;
        }
        let printed = finished.stdout_text();
        let line = printed.lines().find(|line| line.contains("0x")).unwrap_or_default();
        let evidence = match status.success() {
            true => format!("its standard output: {}", shown(line.trim().as_bytes())),
            false => finished.stderr_text().lines().next().unwrap_or_default().to_owned(),
        };
        let expected =
            format!("it refuses {}, and ends with another code than 0", quoted(text.as_ref()));
        return Err(Fault::wrong(&expected, status.to_string(), evidence));
    }
    Ok(format!("{} of {} are refused", wrong.len(), wrong.len()))
}
