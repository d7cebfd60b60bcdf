//! The recipe `chat-server`: frames, and what is none.

mod crowd;
mod people;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Need, Run, Server, Skip, evidence, need, peer};
use scenarios::{Chatter, framed};

use crate::{tests, topic};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "chat_server",
        tests![
            frames_are_the_same_at_every_split_point,
            frames_come_a_byte_at_a_time,
            a_thousand_frames_in_one_segment_keep_their_order,
            the_longest_text_is_told_and_a_longer_one_refused,
            what_is_no_frame_is_refused_with_its_reason,
            a_reason_outlives_what_was_sent_behind_the_fault,
            a_stream_that_ends_inside_a_frame_is_refused,
            random_bytes_harm_nobody,
            a_python_client_takes_part,
        ],
    );
    trials.extend(people::trials());
    trials.extend(crowd::trials());
    trials
}

fn server(args: &[&str]) -> Server {
    Server::start("chat-server", [&["--port", "0"], args].concat())
}

/// A client that has come to know all that the server was sent before.
fn heard_by(observer: &mut Chatter, mark: &str) -> Vec<String> {
    observer.say(mark).unwrap();
    observer.hear_until(&format!("said\tobserver\t{mark}")).unwrap()
}

/// What the server answers to these bytes, up to its FIN; the client never sends one.
fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<String> {
    let mut client = Chatter::connect(address).unwrap();
    client.stream.write_all(bytes).unwrap();
    client.hear_all().unwrap()
}

fn refused(why: &str) -> String {
    format!("refused\t{why}")
}

fn frames_are_the_same_at_every_split_point() -> Result<(), Skip> {
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let stream: Vec<u8> = ["zoë", "", "one\ttwo"].into_iter().flat_map(framed).collect();
    for at in 0..=stream.len() {
        let mut client = Chatter::connect(server.address()).unwrap();
        client.stream.write_all(&stream[..at]).unwrap();
        // What came before this was received apart from the rest.
        let before = heard_by(&mut observer, "now");
        client.stream.write_all(&stream[at..]).unwrap();
        client.leave().unwrap();
        let after = observer.hear_until("left\tzoë").unwrap();
        let all = [&before[..before.len() - 1], &after].concat();
        assert_eq!(
            all,
            ["joined\tzoë", "said\tzoë\t", "said\tzoë\tone\ttwo", "left\tzoë"],
            "split at {at}"
        );
    }
    Ok(())
}

fn frames_come_a_byte_at_a_time() -> Result<(), Skip> {
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let mut client = Chatter::connect(server.address()).unwrap();
    let mut heard = Vec::new();
    for byte in ["bob", "grüße"].into_iter().flat_map(framed) {
        client.stream.write_all(&[byte]).unwrap();
        heard.extend(heard_by(&mut observer, "now"));
    }
    client.leave().unwrap();
    heard.extend(observer.hear_until("left\tbob").unwrap());
    heard.retain(|heard| heard != "said\tobserver\tnow");
    assert_eq!(heard, ["joined\tbob", "said\tbob\tgrüße", "left\tbob"]);
    Ok(())
}

fn a_thousand_frames_in_one_segment_keep_their_order() -> Result<(), Skip> {
    let server = server(&["--queue", "4"]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let mut client = Chatter::join(server.address(), "bob").unwrap();
    let texts: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let stream: Vec<u8> = texts.iter().flat_map(|text| framed(text)).collect();
    client.stream.write_all(&stream).unwrap();
    let expected: Vec<String> = texts.iter().map(|text| format!("said\tbob\t{text}")).collect();
    assert_eq!(client.hear_until("said\tbob\t999").unwrap(), expected);
    observer.hear_until("joined\tbob").unwrap();
    assert_eq!(observer.hear_until("said\tbob\t999").unwrap(), expected);
    Ok(())
}

fn the_longest_text_is_told_and_a_longer_one_refused() -> Result<(), Skip> {
    let server = server(&[]);
    let name = "\u{10348}".repeat(32);
    let mut client = Chatter::join(server.address(), &name).unwrap();
    let longest = "é".repeat(2048);
    client.say(&longest).unwrap();
    assert_eq!(client.hear().unwrap().unwrap(), format!("said\t{name}\t{longest}"));
    client.say(&"x".repeat(4097)).unwrap();
    assert_eq!(client.hear_all().unwrap(), [refused("a frame of 4097 bytes, 4096 at most")]);
    let line = |log: &str| log.contains("refused: a frame of 4097 bytes, 4096 at most");
    drop(client);
    assert!(server.wait_stderr(line, 5 * SECOND), "{}", server.stderr());
    Ok(())
}

fn what_is_no_frame_is_refused_with_its_reason() -> Result<(), Skip> {
    let server = server(&[]);
    for (bytes, why) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "a frame of 1195725856 bytes, 4096 at most"),
        (b"\xff\xff\xff\xff", "a frame of 4294967295 bytes, 4096 at most"),
        (b"\0\0\0\x02\xc3(", "a frame that is not UTF-8"),
        (b"\0\0\0\x03\xed\xa0\x80", "a frame that is not UTF-8"),
    ] {
        assert_eq!(answer(server.address(), bytes), [refused(why)], "{bytes:?}");
    }
    Ok(())
}

fn a_reason_outlives_what_was_sent_behind_the_fault() -> Result<(), Skip> {
    let server = server(&[]);
    // Closed with these unread, the connection would be reset, and the rest not even sent.
    let bytes = [b"\xff\xff\xff\xff".to_vec(), vec![0; 8 << 20]].concat();
    for _ in 0..5 {
        let heard = answer(server.address(), &bytes);
        assert_eq!(heard, [refused("a frame of 4294967295 bytes, 4096 at most")]);
    }
    Ok(())
}

fn a_stream_that_ends_inside_a_frame_is_refused() -> Result<(), Skip> {
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    for cut in [1, 3, 4, 6] {
        let mut client = Chatter::join(server.address(), "bob").unwrap();
        client.stream.write_all(&framed("hello")[..cut]).unwrap();
        let why = refused("end of stream inside a frame");
        assert_eq!(client.leave().unwrap(), [why], "{cut} bytes");
        assert_eq!(observer.hear_until("left\tbob").unwrap(), ["joined\tbob", "left\tbob"]);
    }
    Ok(())
}

fn random_bytes_harm_nobody() -> Result<(), Skip> {
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let open = evidence::descriptors(server.pid());
    for seed in 0..200_u8 {
        // One in two begins with a good name, so that the nonsense is what it says.
        let name = if seed % 2 == 0 { framed(&format!("n{seed}")) } else { vec![] };
        let length = u8::from_be_bytes([seed]).into();
        let bytes = [name, peer::pattern(seed.into(), length)].concat();
        let mut client = Chatter::connect(server.address()).unwrap();
        client.stream.write_all(&bytes).unwrap();
        // Nothing that was sent may lead to a reset, or to half a frame.
        client.leave().unwrap();
    }
    heard_by(&mut observer, "still here");
    let same = || (evidence::descriptors(server.pid()) == open).then_some(());
    evidence::wait_until(5 * SECOND, same).expect("nothing is left of them");
    assert_eq!(server.stderr().matches(" closed: ").count(), 200);
    Ok(())
}

/// What the header promises: a client of twenty lines.
const PYTHON: &str = r#"
import socket, struct, sys
server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def say(text):
    text = text.encode()
    server.sendall(struct.pack("!I", len(text)) + text)
def hear():
    stream = server.makefile("rb")
    while head := stream.read(4):
        yield stream.read(*struct.unpack("!I", head)).decode().split("\t", 2)
say("python")
say("grüße")
server.shutdown(socket.SHUT_WR)
for told in hear():
    print(*told, sep="|")
"#;

fn a_python_client_takes_part() -> Result<(), Skip> {
    need(Need::Python3)?;
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let port = server.address().port().to_string();
    let python = Run::program("python3").args(["-c", PYTHON, &port]).env("PYTHONUTF8", "1");
    let finished = python.finish();
    assert_eq!(finished.stdout_text(), "joined|python\nsaid|python|grüße\nleft|python\n");
    let heard = observer.hear_until("left\tpython").unwrap();
    assert_eq!(heard, ["joined\tpython", "said\tpython\tgrüße", "left\tpython"]);
    Ok(())
}
