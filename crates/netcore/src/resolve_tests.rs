use super::*;
use std::thread;

const SOON: Timeout = Timeout::seconds(5);

#[test]
fn a_literal_is_taken_as_it_is() {
    let host = "192.0.2.7".parse().unwrap();
    let found = addresses(&host, 7, AddressFamily::Any, SOON).unwrap();
    assert_eq!(found, ["192.0.2.7:7".parse().unwrap()]);
    assert!(matches!(addresses(&host, 7, AddressFamily::V6, SOON), Err(Error::Usage(_))));
}

#[test]
fn localhost_is_a_loopback_address_once() {
    let found = addresses(&"localhost".parse().unwrap(), 7, AddressFamily::Any, SOON).unwrap();
    assert!(!found.is_empty());
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
    for (at, address) in found.iter().enumerate() {
        assert!(!found[at + 1..].contains(address), "{address} twice");
    }
}

#[test]
fn an_answer_survives_the_pipe() {
    let all: Vec<SocketAddr> =
        ["192.0.2.7:7", "[fe80::1%2]:7", "[::ffff:1.2.3.4]:0"].map(|a| a.parse().unwrap()).into();
    let answer = written(&all, Some(c"h\x07st"));
    assert_eq!(refusal(&answer), None);
    let found = found(&answer);
    assert_eq!((found.addresses, found.canonical), (all, Some("h\\u{7}st".to_owned())));
    let reason = Reason { code: libc::EAI_SYSTEM, source: Errno::EMFILE };
    assert_eq!(refusal(&failure(reason.code, reason.source)), Some(reason));
}

/// Texts that look like addresses of either family, from a generator of their own: proptest's are
/// too slow for this many.
fn address_like(count: usize) -> impl Iterator<Item = String> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let parts = [
        "0",
        "1",
        "10",
        "127",
        "255",
        "256",
        "010",
        "0x7f",
        "65535",
        "4294967295",
        "::",
        ":",
        ".",
        ".",
        ".",
        "::ffff:",
        "fe80::1",
        "f",
        "abcd",
        "12345",
        "%lo",
        "%1",
        "[",
        "]",
        " ",
        "x",
        "-",
    ];
    (0..count).map(move |_| (0..=random(8)).map(|_| parts[random(parts.len())]).collect())
}

#[test]
fn a_literal_means_what_it_means_to_the_c_library_or_nothing() {
    let (mut literals, mut refused) = (0, 0);
    for text in address_like(100_000) {
        let c_text = CString::new(text.as_str()).unwrap();
        let theirs = sys::getaddrinfo(&c_text, libc::AF_UNSPEC, 7, libc::AI_NUMERICHOST);
        let theirs = theirs.ok().and_then(|(addresses, _)| addresses.first().copied());
        let ours = text.parse::<Host>();
        match (&ours, theirs) {
            (Ok(host @ Host::Literal { .. }), theirs) => {
                literals += 1;
                // Brackets are ours: the C library takes none.
                if !text.starts_with('[') {
                    assert_eq!(host.literal(7).ok().flatten(), theirs, "{text}");
                }
            }
            // What it would dial must not be looked up as a name.
            (Ok(Host::Name(name)), Some(dialled)) => panic!("{name} is {dialled}"),
            (Err(_), Some(_)) => refused += 1,
            _ => {}
        }
    }
    assert!(literals > 1_000 && refused > 1_000, "{literals} {refused}");
}

#[test]
fn eight_threads_ask_at_once() {
    let host: Host = "localhost".parse().unwrap();
    let alone = addresses(&host, 7, AddressFamily::Any, SOON).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(addresses(&host, 7, AddressFamily::Any, SOON).unwrap(), alone);
                }
            });
        }
    });
}
