//! The files that the rules look at, and what a rule finds.

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

impl Tree {
    /// Reads the tree below `root`, without what git and cargo keep there for themselves.
    pub(super) fn read(root: &Path) -> Result<Tree, Failure> {
        let mut tree = Tree { files: Vec::new() };
        tree.walk(root, "").map_err(Failure::file(format_args!("read {}", root.display())))?;
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

    /// The files below a folder, whose name ends in `/`.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.starts_with(folder))
    }

    /// The files whose names end so: `.md`.
    pub(super) fn ending(&self, suffix: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(suffix))
    }

    /// The names and main files of recipes and tools: the folders of crates/ with a src/main.rs.
    pub(super) fn recipes(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| {
            let name = file.path.strip_prefix("crates/")?.strip_suffix("/src/main.rs")?;
            (!name.contains('/')).then_some((name, file))
        })
    }

    /// Whether a crate says that it is a tool: a program worth having that is more than one lesson.
    pub(super) fn is_tool(&self, name: &str) -> bool {
        let manifest = self.file(&format!("crates/{name}/Cargo.toml"));
        let kind = "[package.metadata.cookbook]\nkind = \"tool\"\n";
        manifest.is_some_and(|manifest| manifest.text.contains(kind))
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

    /// What a rule does not allow, as a compiler says it, and the reason for the rule.
    pub(super) fn finding(&self, line: usize, what: &str, why: &str) -> String {
        format!("{}:{line}: {what}; {why}", self.path)
    }
}

/// Whether `word` stands in `text` by itself, not as a part of a longer name.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let (before, rest) = text.split_at(at);
        let after = rest.strip_prefix(word).unwrap_or("");
        !before.ends_with(joins) && !after.starts_with(joins)
    })
}

/// Whether a name goes on with this.
pub(super) fn joins(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
