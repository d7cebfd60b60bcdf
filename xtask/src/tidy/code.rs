//! Rust as the compiler reads it: without comments and literals, and without the spaces.

use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The code of one file, and what it has from netcore.
#[derive(Default)]
pub(super) struct Code {
    /// Tokens, a space only between two words; without attributes, `use` and tests. The name of a
    /// function that is defined is left out: who defines `recv` has not called it.
    pub(super) text: String,
    /// Every name that a `use netcore::…` imports.
    pub(super) from_netcore: Vec<String>,
    /// The functions that are defined here.
    pub(super) defined: Vec<String>,
}

impl Code {
    pub(super) fn read(source: &str) -> Code {
        let mut code = Code::default();
        // What is not Rust is the compiler's to complain of.
        code.add(TokenStream::from_str(source).unwrap_or_default());
        code
    }

    fn add(&mut self, stream: TokenStream) {
        let mut tokens = stream.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    tokens.next_if(|next| next.to_string() == "!");
                    tokens.next();
                }
                TokenTree::Punct(punct) => self.text.push(punct.as_char()),
                TokenTree::Literal(_) => self.word("0"),
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    self.text.push_str(open);
                    self.add(group.stream());
                    self.text.push_str(close);
                }
                TokenTree::Ident(ident) => match ident.to_string().as_str() {
                    "use" => {
                        let all = tokens.by_ref().map(|token| token.to_string());
                        let path: String = all.take_while(|token| token != ";").collect();
                        if path.starts_with("netcore::") {
                            self.from_netcore.extend(imported(&path));
                        }
                    }
                    "fn" => {
                        self.word("fn");
                        self.defined.extend(tokens.next().map(|name| name.to_string()));
                    }
                    "mod" if tokens.next_if(|name| name.to_string() == "tests").is_some() => {
                        tokens.next();
                    }
                    word => self.word(word),
                },
            }
        }
    }

    fn word(&mut self, word: &str) {
        if self.text.ends_with(joins) {
            self.text.push(' ');
        }
        self.text.push_str(word);
    }

    /// The paths under which something that is spelled so is called: `recv` for `recv(…)`, `.recv`
    /// for a method, `nix::unistd::fork` for `nix::unistd::fork(…)`.
    pub(super) fn calls<'a>(&'a self, spelling: &'a str) -> impl Iterator<Item = &'a str> {
        self.text.match_indices(spelling).filter_map(move |(at, _)| {
            let (before, rest) = self.text.split_at(at);
            let after = rest.strip_prefix(spelling)?;
            let called = after.starts_with('(') || after.starts_with("::<");
            let path = before.trim_end_matches(|c| joins(c) || c == ':');
            let path = path.strip_suffix('.').unwrap_or(path);
            (called && !before.ends_with(joins))
                .then(|| self.text.get(path.len()..at + spelling.len()))?
        })
    }
}

fn joins(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names in `netcore::listener::{listen, Listener as Door}`, without the modules on the way.
fn imported(path: &str) -> Vec<String> {
    let path = path.replace(" ::", "::");
    let words = path.split_inclusive(|c| !joins(c)).filter(|word| !word.ends_with(':'));
    let names = words.map(|word| word.trim_end_matches(|c| !joins(c)).to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_the_compiler_runs() {
        let text = |source: &str| Code::read(source).text;
        assert_eq!(text("a ( ) ; // fork()\n/* fork() */ b(\"fork()\")"), "a();b(0)");
        assert_eq!(text("/// fork()\n#[doc = \"fork()\"]\npub fn fork() {}"), "pub fn(){}");
        assert_eq!(text("f::<'a>('\"', b'\\'')"), "f::<'a>(0,0)");
        assert_eq!(text("a(); #[cfg(test)] mod tests { fork() }"), "a();");
    }

    #[test]
    fn a_use_is_no_call() {
        let code = Code::read("use nix::{fork, wait}; use netcore::{cli, echo::{recv as r}}; g()");
        assert_eq!(code.text, "g()");
        assert_eq!(code.from_netcore, ["cli", "recv", "as", "r"]);
    }

    #[test]
    fn a_call_is_found_with_its_path() {
        let code =
            Code::read("fn recv() { libc::recv(1); s.recv::<u8>(); recv(); recv; unrecv() }");
        assert_eq!(code.calls("recv").collect::<Vec<_>>(), ["libc::recv", ".recv", "recv"]);
        assert_eq!(code.defined, ["recv"]);
    }
}
