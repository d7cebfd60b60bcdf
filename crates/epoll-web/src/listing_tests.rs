use super::*;

fn of(names: &[&[u8]]) -> String {
    page(b"a&b/", names.iter().map(|name| name.to_vec()).collect())
}

#[test]
fn a_page_has_a_link_to_each_name_in_their_order() {
    let expected = "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/a&amp;b/</title>\n\
                    <li><a href=\"a%20b.txt\">a b.txt</a>\n\
                    <li><a href=\"docs/\">docs/</a>\n\
                    <li><a href=\"javascript%3Ax\">javascript:x</a>\n";
    assert_eq!(of(&[b"docs/", b"javascript:x", b"a b.txt"]), expected);
}

#[test]
fn no_name_is_a_tag_or_acts_on_a_terminal() {
    let page = of(&[b"<script>'\"&", b"\xe9\x1b\n", "\u{202e}".as_bytes()]);
    for line in [
        "<li><a href=\"%3Cscript%3E%27%22%26\">&lt;script&gt;&#39;&quot;&amp;</a>\n",
        "<li><a href=\"%E9%1B%0A\">\\xe9\\u{1b}\\n</a>\n",
        "<li><a href=\"%E2%80%AE\">\\u{202e}</a>\n",
    ] {
        assert!(page.contains(line), "{page}");
    }
}

#[test]
fn a_page_has_a_longest_length_and_says_that_there_is_more() {
    let names: Vec<Vec<u8>> = (0..10_000).map(|number| format!("{number:05}").into()).collect();
    let page = page(b"", names);
    assert!((LONGEST - 100..LONGEST + 30).contains(&page.len()), "{}", page.len());
    assert!(page.ends_with("</a>\n<p>and more\n"));
}
