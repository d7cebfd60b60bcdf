//! Paths, requests and deadlines.

use super::*;
use proptest::prelude::*;

#[test]
fn a_path_has_visible_ascii_only() {
    for byte in 0..=255_u8 {
        let Ok(text) = String::from_utf8(vec![b'/', byte, b'x']) else { continue };
        let allowed = byte > 0x20 && byte < 0x7f;
        assert_eq!(text.parse::<Path>().is_ok(), allowed, "{byte:#04x}");
    }
    for text in ["", "index.html", "-1e99", "http://x/", "/\u{e9}", "/a b", "/a\r\nX: y"] {
        assert!(text.parse::<Path>().is_err(), "{text:?}");
    }
}

#[test]
fn the_request_names_its_host() {
    for (host, port, named) in [
        ("example.org", 80, "example.org"),
        ("127.0.0.1", 8000, "127.0.0.1:8000"),
        ("::1", 80, "[::1]"),
        ("fe80::1%lo", 8000, "[fe80::1]:8000"),
    ] {
        let sent = request(&host.parse().unwrap(), port, &Path("/a?b".to_owned()));
        let expected = format!("GET /a?b HTTP/1.0\r\nHost: {named}\r\n\r\n");
        assert_eq!(String::from_utf8(sent), Ok(expected));
    }
}

#[test]
fn a_share_leaves_time_for_the_others() {
    let whole = Deadline::new("9s".parse().unwrap());
    let share = whole.share(3);
    assert!(share.at < whole.at && share.after <= Duration::from_secs(3));
    assert!(share.after > Duration::from_millis(2900));
    assert_eq!(whole.share(1).at, whole.at);
    assert_eq!(Deadline::new("none".parse().unwrap()).share(3).at, None);
}

#[test]
fn a_bound_is_never_later_than_the_deadline() {
    let whole = Deadline::new("1s".parse().unwrap());
    assert_eq!(whole.at_most(Duration::from_secs(2)).at, whole.at);
    assert!(whole.at_most(Duration::ZERO).is_over());
    let never = Deadline::new("none".parse().unwrap());
    assert!(never.at_most(Duration::from_secs(2)).at.is_some());
    assert_eq!(never.at_most(Duration::MAX).at, None);
}

proptest! {
    #[test]
    fn no_path_gets_more_than_one_line_out(text: String) {
        if let Ok(path) = text.parse::<Path>() {
            let sent = request(&"h".parse().unwrap(), 80, &path);
            prop_assert_eq!(sent.iter().filter(|byte| **byte == b'\n').count(), 3);
            prop_assert_eq!(sent.iter().filter(|byte| **byte == b' ').count(), 3);
        }
    }
}
