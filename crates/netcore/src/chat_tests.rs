use super::*;
use crate::seeded;
use proptest::collection::vec;
use proptest::prelude::*;

/// All frames that come of these pieces, or the fault that ends them.
fn cut(longest: usize, pieces: &[&[u8]]) -> Result<Vec<String>, String> {
    let (mut frames, mut texts) = (Frames::new(longest), Vec::new());
    for piece in pieces {
        frames.push(piece).unwrap();
        while let Some(text) = frames.next_text()? {
            texts.push(text);
        }
    }
    Ok(texts)
}

#[test]
fn a_frame_is_its_length_in_network_order_and_its_text() {
    assert_eq!(frame("hé"), b"\0\0\0\x03h\xc3\xa9");
    assert_eq!(frame(""), [0; 4]);
}

#[test]
fn frames_are_the_same_whatever_the_segments() {
    let texts = ["alice", "", "grüße", "x"];
    let stream: Vec<u8> = texts.iter().flat_map(|text| frame(text)).collect();
    for at in 0..=stream.len() {
        let (first, second) = stream.split_at(at);
        assert_eq!(cut(LONGEST_TEXT, &[first, second]).unwrap(), texts, "split at {at}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(cut(LONGEST_TEXT, &bytes).unwrap(), texts);
}

#[test]
fn the_longest_frame_is_taken_and_one_byte_more_is_not_waited_for() {
    let longest = "x".repeat(LONGEST_TEXT);
    assert_eq!(cut(LONGEST_TEXT, &[&frame(&longest)]).unwrap(), [longest]);
    let fault = cut(LONGEST_TEXT, &[&4097_u32.to_be_bytes()]).unwrap_err();
    assert_eq!(fault, "a frame of 4097 bytes, 4096 at most");
    assert_eq!(
        cut(LONGEST_TEXT, &[b"GET / HTTP/1.1\r\n\r\n"]).unwrap_err(),
        "a frame of 1195725856 bytes, 4096 at most"
    );
    assert_eq!(cut(9, &[b"\0\0\0\x02\xc3("]).unwrap_err(), "a frame that is not UTF-8");
}

#[test]
fn a_frame_that_is_not_whole_is_known() {
    let mut frames = Frames::new(LONGEST_TEXT);
    for (bytes, text, inside) in [(&b"\0\0\0"[..], None, true), (b"\x01a", Some("a"), false)] {
        frames.push(bytes).unwrap();
        assert_eq!(frames.next_text().unwrap().as_deref(), text);
        assert_eq!(frames.is_inside(), inside);
    }
}

#[test]
fn a_name_is_shown_as_it_is() {
    for good in ["a", "alice", "Zoë", "李雷", "O'Brien", "-1e99", &"x".repeat(32)] {
        assert_eq!(name(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        " ",
        "a b",
        "a\u{a0}b",
        "a\tb",
        "a\nb",
        "\u{1b}[31m",
        "\u{202e}bob",
        "bo\u{200b}b",
        "a\\b",
        "a\0",
        &"x".repeat(33),
    ] {
        assert!(name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_server_says_nothing_else() {
    for text in ["", "joined", "said\talice", "shouted\talice\thi", "Said\talice\thi"] {
        assert_eq!(ServerMessage::parse(text), None, "{text:?}");
    }
    let longest = ServerMessage::Said("\u{10ffff}".repeat(32), "x".repeat(LONGEST_TEXT)).frame();
    assert_eq!(longest.len(), HEAD + LONGEST_MESSAGE);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_all_are_accounted_for(pieces in vec(vec(any::<u8>(), 0..40), 0..20)) {
        let (mut frames, mut texts) = (Frames::new(64), Vec::new());
        let mut fault = false;
        for piece in &pieces {
            frames.push(piece).unwrap();
            loop {
                match frames.next_text() {
                    Ok(Some(text)) => texts.push(text),
                    Ok(None) => break,
                    Err(_) => { fault = true; break; }
                }
            }
            prop_assert!(fault || frames.bytes.len() - frames.done < HEAD + 64);
            if fault { break; }
        }
        // What came out, framed again, is how the stream began.
        let again: Vec<u8> = texts.iter().flat_map(|text| frame(text)).collect();
        prop_assert!(pieces.concat().starts_with(&again));
    }

    #[test]
    fn texts_survive_any_segments(texts in vec(".{0,20}", 0..8), at in vec(0_usize..40, 0..30)) {
        let stream: Vec<u8> = texts.iter().flat_map(|text| frame(text)).collect();
        let (mut pieces, mut rest) = (Vec::new(), stream.as_slice());
        for at in at {
            let (piece, more) = rest.split_at(at.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        prop_assert_eq!(cut(LONGEST_TEXT, &pieces).unwrap(), texts);
    }

    #[test]
    fn what_is_told_is_read(name in "[a-z]{1,9}", text in "(?s).{0,40}") {
        let all = [
            ServerMessage::Joined(name.clone()),
            ServerMessage::Left(name.clone()),
            ServerMessage::Said(name, text.clone()),
            ServerMessage::Refused(text.clone()),
            ServerMessage::Closed(text),
        ];
        for told in all {
            let bytes = told.frame();
            let text = str::from_utf8(&bytes[HEAD..]).unwrap();
            prop_assert_eq!(ServerMessage::parse(text), Some(told));
        }
    }
}

#[path = "../../../tests/fuzz/checks/chat_frames.rs"]
mod check;

#[test]
fn the_check_of_the_fuzz_target_holds_for_changed_streams() {
    seeded::run(check::SEEDS, check::WORDS, check::check);
}
