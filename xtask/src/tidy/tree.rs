//! The files that the rules look at, and what a rule finds.

use std::fmt;
use std::path::Path;

use xtask::Failure;

/// Every file of the repository, read once.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

/// One file: its path from the root, with `/` between names, and its text.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// Something that a rule does not like, and the reason for the rule.
#[derive(Debug)]
pub(super) struct Finding {
    path: String,
    line: usize,
    what: String,
    why: &'static str,
    /// Worth a look, and no failure.
    pub(super) note: bool,
}

impl Tree {
    /// Reads the tree below `root`, without what git and cargo keep there for themselves.
    pub(super) fn read(root: &Path) -> Result<Tree, Failure> {
        let mut tree = Tree { files: Vec::new() };
        tree.walk(root, "").map_err(Failure::at(format_args!("read {}", root.display())))?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, prefix: &str) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            // In a worktree beside the first one, .git is a file.
            if name == ".git" || name == "target" {
                continue;
            }
            if kind.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                // Pictures are kept with their paths, so that links to them lead somewhere.
                let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The recipes' names and main files: a recipe is a folder of crates/ with a src/main.rs.
    pub(super) fn recipes(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| {
            let name = file.path.strip_prefix("crates/")?.strip_suffix("/src/main.rs")?;
            (!name.contains('/')).then_some((name, file))
        })
    }

    /// The files below a folder, which ends in `/`.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.starts_with(folder))
    }

    /// Whether a crate says that it is a tool: a program worth having that is more than one lesson.
    pub(super) fn is_tool(&self, name: &str) -> bool {
        let manifest = self.file(&format!("crates/{name}/Cargo.toml"));
        let kind = "[package.metadata.cookbook]\nkind = \"tool\"\n";
        manifest.is_some_and(|manifest| manifest.text.contains(kind))
    }

    /// The files whose names end so: `.rs`, `.md`.
    pub(super) fn ending(&self, suffix: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(suffix))
    }
}

impl File {
    /// The lines with their numbers, from 1 as editors count.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The number of the first line that begins so, or 1.
    pub(super) fn line_of(&self, beginning: &str) -> usize {
        self.lines().find(|(_, line)| line.starts_with(beginning)).map_or(1, |(number, _)| number)
    }

    pub(super) fn finding(&self, line: usize, what: String, why: &'static str) -> Finding {
        Finding { path: self.path.clone(), line, what, why, note: false }
    }

    /// Rust's text with comments and the insides of literals blanked, so that a rule which looks
    /// for a word is not misled by who merely speaks of it. Lines keep their numbers.
    pub(super) fn code(&self) -> String {
        let chars: Vec<char> = self.text.chars().collect();
        let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
        let mut code = String::with_capacity(self.text.len());
        let mut from = 0;
        while from < chars.len() {
            let to = match (at(from), at(from + 1)) {
                ('/', '/') => find(&chars, from, "\n"),
                ('/', '*') => find(&chars, from + 2, "*/") + 2,
                ('r', '"' | '#') if !word(code.chars().last()) => raw_string_end(&chars, from),
                ('"', _) => quoted_end(&chars, from, '"'),
                // A lifetime has no closing quote; a character literal has one, two places on.
                ('\'', '\\') => quoted_end(&chars, from, '\''),
                ('\'', _) if at(from + 2) == '\'' => from + 3,
                (other, _) => {
                    code.push(other);
                    from += 1;
                    continue;
                }
            };
            let to = to.clamp(from + 1, chars.len());
            let blanked = chars.iter().take(to).skip(from);
            code.extend(blanked.map(|&c| if c == '\n' { '\n' } else { ' ' }));
            from = to;
        }
        code
    }
}

fn word(char: Option<char>) -> bool {
    char.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Where `needle` next stands, or the end of the text.
fn find(chars: &[char], from: usize, needle: &str) -> usize {
    let needle: Vec<char> = needle.chars().collect();
    let rest = chars.get(from..).unwrap_or_default();
    rest.windows(needle.len()).position(|window| window == needle).map_or(chars.len(), |n| from + n)
}

/// The index behind a literal that opens at `from`; a backslash keeps the next character.
fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut index = from + 1;
    while let Some(&char) = chars.get(index) {
        match char {
            '\\' => index += 2,
            _ if char == quote => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

/// The index behind `r"…"` or `r#"…"#`; behind the `r` alone where it begins a raw identifier.
fn raw_string_end(chars: &[char], from: usize) -> usize {
    let hashes = chars.iter().skip(from + 1).take_while(|&&c| c == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from + 1;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    find(chars, from + 2 + hashes, &close) + close.len()
}

impl Finding {
    pub(super) fn noted(self) -> Finding {
        Finding { note: true, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.why)
    }
}

/// A tree made of (path, text) pairs: what the rules' tests look at.
#[cfg(test)]
pub(super) fn sample(files: &[(&str, &str)]) -> Tree {
    let file = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
    Tree { files: files.iter().map(file).collect() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_git_and_cargo_keep_for_themselves_is_no_part_of_the_tree() {
        let root = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        for folder in ["src", "target/debug"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        // A worktree has a file in the place of the folder.
        for file in [".git", "src/a.rs", "target/debug/a.d", "README.md"] {
            fs::write(root.join(file), "").unwrap();
        }
        let tree = Tree::read(&root);
        fs::remove_dir_all(&root).unwrap();
        let paths: Vec<_> = tree.unwrap_or_else(|_| panic!("read")).files;
        assert_eq!(
            paths.iter().map(|file| &file.path).collect::<Vec<_>>(),
            ["README.md", "src/a.rs"]
        );
    }

    #[test]
    fn code_is_what_the_compiler_runs() {
        let code = |text: &str| File { path: "a.rs".into(), text: text.into() }.code();
        assert_eq!(code("a(); // unsafe"), format!("a(); {}", " ".repeat(9)));
        assert_eq!(code("a(\"un\\\"safe\") + b").trim_end(), format!("a({}) + b", " ".repeat(10)));
        assert_eq!(code("r#\"x\"y\"# z"), format!("{} z", " ".repeat(8)));
        assert_eq!(code("f::<'a>('\"', b'\\'') g"), "f::<'a>(   , b    ) g");
        assert_eq!(code("/* a\nb */ c").lines().nth(1), Some("     c"));
        assert_eq!(code("for r in bar\"\" {}"), "for r in bar   {}");
    }

    #[test]
    fn a_finding_reads_as_a_compiler_says_it() {
        let tree = sample(&[("a/b.rs", "")]);
        let file = tree.file("a/b.rs").expect("it is there");
        let shown = file.finding(3, "x is y".into(), "z").to_string();
        assert_eq!(shown, "a/b.rs:3: x is y; z");
    }
}
