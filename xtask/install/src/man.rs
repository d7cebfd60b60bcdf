//! The man page: the options as `--help` has them, the lesson as `--explain` has it.

use crate::help::{Entry, Help};

/// A line of input may be so long.
const WIDTH: usize = 78;

/// The page in roff, with the macros of man(7).
pub(crate) fn page(name: &str, help: &Help, lesson: &str, date: &str) -> String {
    let mut page = format!(
        ".TH {} 1 {date} \"network-programming cookbook\" \"User Commands\"\n",
        name.to_uppercase()
    );
    let title = help.title.trim_end_matches('.');
    page.push_str(".SH NAME\n");
    // The dash in it is the one between a name and its line.
    text(&mut page, &format!("{name} \u{2013} {title}"));
    page += &format!(".SH SYNOPSIS\n.B {}\n", escape(name));
    text(&mut page, &help.usage);
    entries(&mut page, "ARGUMENTS", &help.arguments);
    entries(&mut page, "OPTIONS", &help.options);
    // The first line of the lesson is its title.
    let mut lines = lesson.lines().skip(1).peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("# ") {
            page += &format!(".SH \"{}\"\n", heading.to_uppercase());
            continue;
        }
        if line.starts_with("```") {
            let is_first = page.lines().last().is_some_and(|line| line.starts_with(".SH"));
            page.push_str(if is_first { ".EX\n" } else { ".PP\n.EX\n" });
            for line in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                page.push_str(&escape_line(line));
            }
            page.push_str(".EE\n");
            continue;
        }
        if line.is_empty() {
            continue;
        }
        // A paragraph, or an item of a list, with the lines that belong to it.
        let item = line.strip_prefix("- ");
        let mut paragraph = item.unwrap_or(line).to_owned();
        while let Some(more) = lines.next_if(|line| {
            !line.is_empty() && !line.starts_with(['#', '`']) && !line.starts_with("- ")
                || line.starts_with('`') && !line.starts_with("```")
        }) {
            paragraph.push(' ');
            paragraph.push_str(more.trim());
        }
        if item.is_some() {
            page.push_str(".IP \\(bu 2\n");
        } else if !page.ends_with("\"\n") {
            page.push_str(".PP\n");
        }
        text(&mut page, &paragraph);
    }
    if !help.examples.is_empty() {
        page.push_str(".SH EXAMPLES\n.EX\n");
        for example in &help.examples {
            page.push_str(&escape_line(example));
        }
        page.push_str(".EE\n");
    }
    entries(&mut page, "EXIT STATUS", &help.exit_codes);
    page
}

fn entries(page: &mut String, heading: &str, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    page.push_str(&format!(".SH \"{heading}\"\n"));
    for Entry { term, meaning } in entries {
        page.push_str(&format!(".TP\n.B {}\n", escape(term)));
        text(page, meaning);
    }
}

/// Running text: what stands in backticks is bold; no line of input is too long.
fn text(page: &mut String, text: &str) {
    let mut line = String::new();
    let mut bold = false;
    for word in text.split_whitespace() {
        let mut shown = String::new();
        for (number, part) in word.split('`').enumerate() {
            if number > 0 {
                bold = !bold;
                shown.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            shown.push_str(&escape(part));
        }
        if !line.is_empty() && width(&line) + width(&shown) + 1 > WIDTH {
            put(page, &line);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&shown);
    }
    put(page, &line);
}

/// As roff counts: what is not ASCII is `\[u2192]`.
fn width(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 8 }).sum()
}

fn put(page: &mut String, line: &str) {
    if line.is_empty() {
        return;
    }
    // A dot or a quote at the start of a line would be a request.
    if line.starts_with(['.', '\'']) {
        page.push_str("\\&");
    }
    page.push_str(line);
    page.push('\n');
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' | '\u{2013}' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A line that is shown as it is.
fn escape_line(line: &str) -> String {
    let escaped = escape(line);
    let guard = if escaped.starts_with('.') { "\\&" } else { "" };
    // roff takes an empty line for a paragraph.
    if escaped.is_empty() { ".sp\n".to_owned() } else { format!("{guard}{escaped}\n") }
}
