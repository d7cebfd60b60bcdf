use proptest::prelude::*;

use super::*;

const FILE: &[u8] = b"# a comment\n\
    http\t\t80/tcp\t\twww www-http # and another\r\n\
    http 80/udp\n\
    \x20 indented 7/tcp\n\
    first 9/tcp\nsecond 9/tcp first\n\
    no-port\nhuge 65536/tcp\nsigned +7/tcp\nhalf 7\nhalf 7/\nletters x/tcp\n\
    \xff\xfe 1/tcp\n#only 1/tcp\n\nhex 0x50/tcp\noctal 010/tcp\n\
    nul\0 12/tcp\nhash#13/tcp\nback\\slash\x0b14/tcp\nlast 4/sctp";

fn find(what: What<'_>, protocol: Protocol) -> Option<String> {
    Services::parse(FILE).0.find(what, protocol).map(|service| service.name)
}

#[test]
fn comments_tabs_and_carriage_returns_are_no_part_of_an_entry() {
    let (Services(services), _) = Services::parse(FILE);
    assert_eq!(services[0].to_string(), "http                  80/tcp www www-http");
    assert_eq!(find(What::Name("www"), Protocol::Tcp).as_deref(), Some("http"));
    assert_eq!(find(What::Name("www"), Protocol::Udp), None);
    assert_eq!(find(What::Name("indented"), Protocol::Tcp).as_deref(), Some("indented"));
    assert_eq!(find(What::Port(4), Protocol::Sctp).as_deref(), Some("last"));
    assert_eq!(services.last().map(|service| service.port), Some(4));
}

#[test]
fn the_first_of_duplicates_wins() {
    assert_eq!(find(What::Port(9), Protocol::Tcp).as_deref(), Some("first"));
    assert_eq!(find(What::Name("first"), Protocol::Tcp).as_deref(), Some("first"));
}

#[test]
fn bad_lines_have_their_number() {
    let (Services(services), bad) = Services::parse(FILE);
    let numbers: Vec<usize> = bad.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [7, 8, 9, 10, 11, 12, 16, 17, 18, 19]);
    assert_eq!(bad.first().map(|(_, line)| *line), Some(&b"no-port"[..]));
    assert!(services.iter().any(|service| service.name == r"\xff\xfe"));
}

#[test]
fn a_name_is_found_by_what_stands_in_the_file_and_not_by_how_it_is_shown() {
    let found = find(What::Name(r"back\slash"), Protocol::Tcp);
    assert_eq!(found.as_deref(), Some(r"back\\slash"));
    assert_eq!(find(What::Name(r"back\\slash"), Protocol::Tcp), None);
    assert_eq!(find(What::Name(r"\xff\xfe"), Protocol::Tcp), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = Services::parse(&bytes);
    }

    #[test]
    fn every_line_is_an_entry_or_bad_or_blank(
        line in "#?[ \t\r]?[a-c\\\\]{0,2}[ \t\x0b]{1,2}[0-9]{1,5}/[a-c]{0,2}( [a-c\\\\#]{0,3}){0,3}"
    ) {
        let (Services(services), bad) = Services::parse(line.as_bytes());
        let blank = line.trim_start().is_empty() || line.trim_start().starts_with('#');
        prop_assert_eq!(services.len() + bad.len(), usize::from(!blank));
        for service in services {
            // The same entry comes of its own line: what is read can be written.
            let line = service.to_string().replace(r"\\", r"\");
            let Services(again) = Services::parse(line.as_bytes()).0;
            prop_assert_eq!(again, [service]);
        }
    }
}

#[path = "../../../tests/fuzz/checks/services_file.rs"]
mod check;
#[path = "../../../tests/fuzz/seeded.rs"]
mod seeded;

#[test]
fn the_check_of_the_fuzz_target_holds_for_changed_files() {
    seeded::run(check::SEEDS, check::WORDS, check::check);
}
