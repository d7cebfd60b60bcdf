use proptest::prelude::*;

use super::*;

fn subject(text: &str) -> Result<Subject, String> {
    Question::read(text, Protocols::Any).map(|question| question.subject)
}

#[test]
fn ports_ranges_and_names_are_told_apart() {
    assert_eq!(subject("80"), Ok(Subject::Ports(80..=80)));
    assert_eq!(subject("20-25/tcp"), Ok(Subject::Ports(20..=25)));
    for name in ["http", "iso-tsap", "3com-tsmux", "x11-1", "80-http", "x-080"] {
        assert_eq!(subject(name), Ok(Subject::Name(name.to_owned())), "{name}");
    }
    let udp = Question::read("80/udp", Protocols::Any).unwrap();
    assert_eq!(udp.protocols, Protocols::One(Protocol::Udp));
}

#[test]
fn what_is_no_question_is_refused() {
    for text in [
        "",
        "0",
        "65536",
        "-1",
        "+1",
        "0x50",
        "080",
        "25-20",
        "0-5",
        "1-65536",
        "1-080",
        "20-0x50",
        "0x50-0x60",
        "20--1",
        "-1-5",
        "20-",
        "1-2-3",
        "-",
        "\u{fffd}",
        "/tcp",
        "80/",
        "80/TCP",
        "80/icmp",
        "80/tcp/udp",
    ] {
        assert!(subject(text).is_err(), "{text}");
    }
}

#[test]
fn every_port_of_a_range_is_asked_of_every_protocol_in_their_order() {
    let question = Question::read("65534-65535", Protocols::Any).unwrap();
    let all: Vec<_> = [65534, 65535]
        .into_iter()
        .flat_map(|port| Protocol::ALL.map(|protocol| (What::Port(port), protocol)))
        .collect();
    assert_eq!(question.each().collect::<Vec<_>>(), all);
    let whole = Question::read("1-65535", Protocols::Any).unwrap();
    assert_eq!(whole.each().count(), 4 * 65535);
    let one = Question::read("http", Protocols::One(Protocol::Dccp)).unwrap();
    assert_eq!(one.each().collect::<Vec<_>>(), [(What::Name("http"), Protocol::Dccp)]);
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        let _ = subject(&text);
    }
}
