//! How a scenario is printed: columns for a reader, JSON objects for a program.

use std::fmt::Write;
use std::time::Duration;

/// Where the second column begins: what was printed, what is known.
const COLUMN: usize = 50;

/// `left` and, from the second column on, the lines of `right`; below it when `left` is too long.
pub(crate) fn columns(left: &str, right: &[String]) -> Vec<String> {
    let mut right = right.iter();
    let mut lines = Vec::new();
    if left.chars().count() + 2 <= COLUMN {
        let first = right.next().map_or("", String::as_str);
        lines.push(format!("{left:COLUMN$}{first}").trim_end().to_owned());
    } else {
        lines.push(left.to_owned());
    }
    lines.extend(right.map(|line| format!("{:COLUMN$}{line}", "").trim_end().to_owned()));
    lines
}

/// `forking: 4 checks hold, 0.4 s`.
pub(crate) fn summary(
    name: &str,
    checks: usize,
    skipped: usize,
    stopped: bool,
    elapsed: Duration,
) -> String {
    let mut line = format!("{name}: ");
    if stopped {
        line.push_str("FAILED, ");
    }
    let (noun, verb) = if checks == 1 { ("check", "holds") } else { ("checks", "hold") };
    let _ = write!(line, "{checks} {noun} {verb}");
    if skipped > 0 {
        let _ = write!(line, ", {skipped} skipped");
    }
    let _ = write!(line, ", {:.1} s", elapsed.as_secs_f64());
    line
}

/// `line` without what would move a terminal's cursor: peers and programs wrote parts of it.
pub(crate) fn escaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

/// One JSON object (RFC 8259) in the making.
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new(kind: &str) -> Self {
        Self(format!(r#"{{"type":{}"#, string(kind)))
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.member(key, &string(value))
    }

    pub(crate) fn texts(self, key: &str, values: &[String]) -> Self {
        let values: Vec<String> = values.iter().map(|value| string(value)).collect();
        self.member(key, &format!("[{}]", values.join(",")))
    }

    pub(crate) fn number(self, key: &str, value: u128) -> Self {
        self.member(key, &value.to_string())
    }

    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.member(key, if value { "true" } else { "false" })
    }

    fn member(mut self, key: &str, value: &str) -> Self {
        let _ = write!(self.0, ",{}:{value}", string(key));
        self
    }

    pub(crate) fn finish(self) -> String {
        self.0 + "}"
    }
}

/// A JSON string: quotes, backslashes and control characters escaped, the rest as it is.
fn string(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str(r#"\""#),
            '\\' => json.push_str(r"\\"),
            '\n' => json.push_str(r"\n"),
            c if c.is_control() => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_escape_what_would_end_or_break_them() {
        assert_eq!(string("a\"b\\c\nd\u{1b}é"), r#""a\"b\\c\nd\u001bé""#);
        let object = Object::new("step").number("n", 1).texts("output", &["x".into()]).finish();
        assert_eq!(object, r#"{"type":"step","n":1,"output":["x"]}"#);
    }

    #[test]
    fn a_left_column_that_is_too_long_pushes_the_right_one_below_it() {
        let long = "x".repeat(COLUMN);
        assert_eq!(columns(&long, &["y".into()]), [long, format!("{}y", " ".repeat(COLUMN))]);
    }
}
