//! The recipe `chat-client`, in a pipe, and with servers that are none.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Server, Signal, Skip, bin, need};
use scenarios::{Chatter, framed};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "chat_client",
        tests![
            lines_of_a_pipe_are_said_in_their_order,
            what_others_say_is_shown_and_escaped,
            the_rest_is_shown_after_the_input_has_ended,
            a_line_that_cannot_be_sent_is_named_and_the_next_is_sent,
            a_name_that_is_taken_is_1_with_the_reason,
            a_name_that_is_none_is_a_usage_error,
            a_server_that_closes_is_69,
            a_server_that_is_gone_is_69,
            a_word_that_no_server_says_is_65,
            a_server_that_does_not_welcome_is_75,
            a_server_that_stops_ends_the_client_while_it_waits_for_a_line,
            a_person_at_a_terminal_is_heard,
        ],
    )
}

/// A server for one client, which begins when that has said its name.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.read_exact(&mut [0; 7]).unwrap();
        serve(stream);
    });
    address
}

/// One that says these frames and then nothing more.
fn says(frames: &'static [&'static str]) -> SocketAddr {
    server(move |mut stream| {
        for frame in frames {
            stream.write_all(&framed(frame)).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        // Until the client has gone, so that no reset overtakes what was said.
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// The client, with a name of three bytes.
fn client(address: SocketAddr, args: &[&str]) -> Run {
    let port = address.port().to_string();
    let needed = ["--host", "127.0.0.1", "--port", &port, "--name", "bob"];
    Run::new("chat-client").args(needed).args(args)
}

fn fails(finished: &Finished, code: i32, words: &str) {
    let said = finished.stderr_text();
    assert_eq!(finished.code(), Some(code), "{said}");
    assert!(said.starts_with("chat-client: ") && said.contains(words), "{words:?}? {said}");
}

fn lines_of_a_pipe_are_said_in_their_order() -> Result<(), Skip> {
    const LINES: usize = 20_000;
    let server = Server::start("chat-server", ["--port", "0", "--queue", "100000"]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let text: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    let said = thread::spawn(move || observer.hear_until("left\tbob").unwrap());
    // The last line needs no newline.
    let finished = client(server.address(), &[]).stdin(text.join("\n")).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    // What it says itself is not shown.
    assert_eq!(finished.stdout_text(), "* bob joined\n* bob left\n");
    let said = said.join().unwrap();
    let expected: Vec<String> = text.iter().map(|line| format!("said\tbob\t{line}")).collect();
    assert!(said[1..=LINES] == expected[..], "{} of {LINES}", said.len() - 2);
    Ok(())
}

fn what_others_say_is_shown_and_escaped() -> Result<(), Skip> {
    const FRAMES: &[&str] = &[
        "said\tbob\tin another life",
        "joined\tbob",
        "said\tbob\tjust now",
        "said\ta\u{1b}b\t\u{1b}[31mred\n\u{202e}a\tb \\ é",
        "left\tbob",
    ];
    let finished = client(says(FRAMES), &[]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let expected = r"bob: in another life
* bob joined
a\u{1b}b: \u{1b}[31mred\n\u{202e}a\tb \\ é
* bob left
";
    assert_eq!(finished.stdout_text(), expected);
    let finished = client(says(FRAMES), &["--json"]).finish();
    let lines = finished.stdout_text();
    let line: serde_json::Value = serde_json::from_str(lines.lines().nth(2).unwrap()).unwrap();
    assert_eq!(line["type"], "said");
    assert_eq!(line["name"], r"a\u{1b}b");
    assert_eq!(line["text"], r"\u{1b}[31mred\n\u{202e}a\tb \\ é");
    assert_eq!(line["bytes"], 20);
    Ok(())
}

fn the_rest_is_shown_after_the_input_has_ended() -> Result<(), Skip> {
    let address = server(|mut stream| {
        stream.write_all(&framed("joined\tbob")).unwrap();
        // Its FIN, and only then the rest.
        stream.read_to_end(&mut Vec::new()).unwrap();
        for number in 0..1000 {
            stream.write_all(&framed(&format!("said\talice\t{number}"))).unwrap();
        }
        stream.write_all(&framed("left\tbob")).unwrap();
    });
    let finished = client(address, &[]).finish();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr_text());
    let shown = finished.stdout_text();
    assert_eq!(shown.lines().filter(|line| line.starts_with("alice: ")).count(), 1000);
    Ok(())
}

fn a_line_that_cannot_be_sent_is_named_and_the_next_is_sent() -> Result<(), Skip> {
    let server = Server::start("chat-server", ["--port", "0"]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let (fits, long) = ("x".repeat(4096), "x".repeat(4097));
    let endless = "y".repeat(1_000_000);
    let lines: Vec<&[u8]> =
        vec![b"one", long.as_bytes(), fits.as_bytes(), b"caf\xe9", b"", endless.as_bytes(), b"two"];
    let finished = client(server.address(), &[]).stdin(lines.join(&b'\n')).finish();
    let heard = observer.hear_until("left\tbob").unwrap();
    let said = |text: &str| format!("said\tbob\t{text}");
    assert_eq!(heard[1..heard.len() - 1], [said("one"), said(&fits), said("two")]);
    let expected = "chat-client: line 2: longer than 4096 bytes, not sent
chat-client: line 4: not UTF-8, not sent
chat-client: line 6: longer than 4096 bytes, not sent
";
    assert_eq!((finished.code(), finished.stderr_text().as_str()), (Some(1), expected));
    Ok(())
}

fn a_name_that_is_taken_is_1_with_the_reason() -> Result<(), Skip> {
    let server = Server::start("chat-server", ["--port", "0"]);
    let _bob = Chatter::join(server.address(), "bob").unwrap();
    let finished = client(server.address(), &[]).stdin("never said\n").finish();
    fails(&finished, 1, &format!("{}: refused: the name bob is taken\n", server.address()));
    assert!(finished.stdout.is_empty());
    Ok(())
}

fn a_name_that_is_none_is_a_usage_error() -> Result<(), Skip> {
    for name in ["", "a b", "\u{202e}bob", &"x".repeat(33)] {
        let finished = Run::new("chat-client").args(["--port", "1", "--name", name]).finish();
        fails(&finished, 2, "a name is 1 to 32 printable characters");
    }
    Ok(())
}

fn a_server_that_closes_is_69() -> Result<(), Skip> {
    let finished = client(says(&["joined\tbob", "closed\tgo \u{1b}home"]), &[]).finish();
    fails(&finished, 69, r": go \u{1b}home");
    Ok(())
}

fn a_server_that_is_gone_is_69() -> Result<(), Skip> {
    fails(&client(says(&["joined\tbob"]), &[]).finish(), 69, "closed without a goodbye\n");
    let cut = server(|mut stream| stream.write_all(&framed("joined\tbob")[..7]).unwrap());
    fails(&client(cut, &[]).finish(), 69, "closed without a goodbye inside a frame\n");
    Ok(())
}

fn a_word_that_no_server_says_is_65() -> Result<(), Skip> {
    let finished = client(says(&["shouted\tbob\t\u{1b}"]), &[]).finish();
    fails(&finished, 65, r#"a frame with an unknown word: "shouted\tbob\t\u{1b}""#);
    Ok(())
}

fn a_server_that_does_not_welcome_is_75() -> Result<(), Skip> {
    let silent = || server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let finished = client(silent(), &["--timeout", "200ms"]).finish();
    fails(&finished, 75, "welcome from 127.0.0.1:");
    Ok(())
}

fn a_server_that_stops_ends_the_client_while_it_waits_for_a_line() -> Result<(), Skip> {
    let server = Server::start("chat-server", ["--port", "0"]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    // A pipe that the client itself holds open at both ends never comes to its end.
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Run::program("mkfifo").arg(&pipe).finish().status.success());
    let script = r#"pipe=$1; shift; exec "$@" <>"$pipe""#;
    let (client, port) = (bin("chat-client"), server.address().port().to_string());
    let run = Run::script(script).arg(&pipe).arg(client);
    let client = run.args(["--name", "bob", "--port", &port]).start();
    observer.hear_until("joined\tbob").unwrap();
    let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    writer.write_all(b"hello\nhalf a li").unwrap();
    observer.hear_until("said\tbob\thello").unwrap();
    server.signal(Signal::SIGTERM);
    let status = client.wait(Duration::from_secs(10)).expect("it ends");
    let said = client.stderr();
    assert_eq!(status.code(), Some(69), "{said}");
    assert_eq!(said, format!("chat-client: {}: the server stops\n", server.address()));
    Ok(())
}

/// A person who corrects what he types, and ends with Ctrl-D.
const PERSON: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
def see(what):
    global seen
    while what not in seen:
        try:
            seen += os.read(terminal, 4096)
        except OSError: # The other end is closed.
            return
see(b"bob joined")
os.write(terminal, b"helloX\x7f you\n")
see(b"observer: hello bob")
os.write(terminal, b"\x04")
see(b"nothing")
os.write(1, seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn a_person_at_a_terminal_is_heard() -> Result<(), Skip> {
    need(Need::Python3)?;
    let server = Server::start("chat-server", ["--port", "0"]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let port = server.address().port().to_string();
    let person = Run::program("python3").args(["-c", PERSON]).arg(bin("chat-client"));
    let person = person.args(["--port", &port, "--name", "bob"]).start();
    observer.hear_until("said\tbob\thello you").unwrap();
    observer.say("hello bob").unwrap();
    observer.hear_until("left\tbob").unwrap();
    let status = person.wait(Duration::from_secs(10)).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", person.stderr());
    let screen = person.stdout();
    assert!(screen.contains("* bob joined\r\n"), "{screen}");
    assert!(screen.contains("observer: hello bob\r\n* bob left\r\n"), "{screen}");
    assert!(!screen.contains("bob: hello"), "once is enough: {screen}");
    Ok(())
}
