//! `cargo xtask ladder A B`: what differs between the stories of two recipes, function by function.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use argh::FromArgs;
use similar::{ChangeTag, TextDiff};

use xtask::{Failure, Output};

/// Show what differs between two recipes, function by function, `serve` first.
#[derive(FromArgs)]
#[argh(subcommand, name = "ladder")]
pub(crate) struct Args {
    /// the recipe to begin with: forking-echo
    #[argh(positional)]
    from: String,

    /// the recipe to compare with it: threaded-echo
    #[argh(positional)]
    to: String,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let Args { from, to } = args;
    let root = netcheck::workspace();
    let (one, other) = (Source::read(&root, from)?, Source::read(&root, to)?);
    let names = one.items.iter().chain(&other.items).map(|item| item.name.as_str());
    let mut names: Vec<&str> = std::iter::once("fn serve").chain(names).collect();
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));

    let mut same = Vec::new();
    for name in names {
        let (old, new) = (one.text(name), other.text(name));
        if old == new {
            same.extend((!old.is_empty()).then_some(name));
            continue;
        }
        let diff = TextDiff::from_lines(old, new);
        let (from, to) = (format!("{from}: {name}"), format!("{to}: {name}"));
        out.line(diff.unified_diff().context_radius(3).header(&from, &to))?;
    }
    let same = if same.is_empty() { "nothing".to_owned() } else { same.join(", ") };
    let (minus, plus) = changes(one.text("fn serve"), other.text("fn serve"));
    out.line(format_args!("serve: -{minus} +{plus} lines; the same in both: {same}"))?;
    Ok(true)
}

/// What `main.rs` has below its header, `mod` and `use`.
struct Source {
    items: Vec<Item>,
}

/// A function, a constant, a type: `fn serve`, with its comments and attributes.
struct Item {
    name: String,
    text: String,
}

impl Source {
    fn read(root: &Path, recipe: &str) -> Result<Source, Failure> {
        let path = root.join("crates").join(recipe).join("src/main.rs");
        let source = fs::read_to_string(&path);
        let source = source
            .map_err(|why| Failure::Usage(format!("no recipe is named {recipe:?}: {why}")))?;
        Ok(Source::parse(&source))
    }

    /// rustfmt begins each item at the margin, and ends it there too.
    fn parse(source: &str) -> Source {
        let mut items = Vec::new();
        let (mut text, mut name) = (String::new(), String::new());
        for line in source.lines().filter(|line| !line.starts_with("//!")) {
            if text.is_empty() && line.is_empty() {
                continue;
            }
            text = text + line + "\n";
            if line.is_empty() || line.starts_with([' ', '/', '#']) {
                continue;
            }
            if name.is_empty() {
                name = line
                    .split(['(', '{', '=', ':', ';', '<'])
                    .next()
                    .unwrap_or(line)
                    .trim()
                    .to_owned();
            }
            if line.ends_with([';', '}']) {
                let item =
                    Item { name: std::mem::take(&mut name), text: std::mem::take(&mut text) };
                let is_import = item.name.starts_with("use ") || item.name.starts_with("mod ");
                items.extend((!is_import).then_some(item));
            }
        }
        Source { items }
    }

    fn text(&self, name: &str) -> &str {
        self.items.iter().find(|item| item.name == name).map_or("", |item| &item.text)
    }
}

/// How many lines go, and how many come.
fn changes(old: &str, new: &str) -> (usize, usize) {
    let diff = TextDiff::from_lines(old, new);
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    (count(ChangeTag::Delete), count(ChangeTag::Insert))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The neighbours: a recipe, and the one that is best read beside it.
    const LADDER: [[&str; 2]; 6] = [
        ["echo-server", "forking-echo"],
        ["forking-echo", "prefork-echo"],
        ["forking-echo", "threaded-echo"],
        ["threaded-echo", "poll-echo"],
        ["poll-echo", "epoll-echo"],
        ["epoll-echo", "uring-echo"],
    ];

    /// By how many lines the `serve` of two neighbours may differ, each way.
    const STEP: usize = 25;

    /// Steps that are higher: the second of the two neighbours, its bounds, and the reason.
    const HIGHER: &[(&str, (usize, usize), &str)] = &[
        ("forking-echo", (20, 34), "`fork` returns twice, and each of the two has its own close"),
        ("prefork-echo", (37, 28), "`fork` comes before `accept`, which moves into the child"),
        ("poll-echo", (30, 25), "from calls that block to one that waits for all clients"),
    ];

    /// A function of the ladder, and recipes that have it to the byte. Every recipe that has one of
    /// that name stands in one of its rows.
    const SAME: &[(&str, &[&str])] = &[
        ("fn echo", &["echo-server"]),
        ("fn echo", &["forking-echo", "prefork-echo", "threaded-echo"]),
        ("fn echo", &["poll-echo", "epoll-echo"]),
        ("fn reap", &["forking-echo", "prefork-echo"]),
        ("fn drain", &["forking-echo", "prefork-echo"]),
        ("fn drain", &["threaded-echo"]),
    ];

    fn source(recipe: &str) -> Source {
        Source::read(&netcheck::workspace(), recipe).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn each_step_of_the_ladder_is_small() {
        for pair in LADDER {
            let [one, other] =
                [pair[0], pair[1]].map(|name| source(name).text("fn serve").to_owned());
            assert!(!one.is_empty() && !other.is_empty(), "{pair:?}: no serve");
            let (minus, plus) = changes(&one, &other);
            let higher = HIGHER.iter().find(|(name, ..)| *name == pair[1]);
            let (most_minus, most_plus) = higher.map_or((STEP, STEP), |(_, bounds, _)| *bounds);
            let shown =
                format!("{}: -{minus} +{plus}, at most -{most_minus} +{most_plus}", pair.join(" "));
            assert!(minus <= most_minus && plus <= most_plus, "{shown}; see `cargo xtask ladder`");
            let is_higher = minus > STEP || plus > STEP;
            assert!(is_higher || higher.is_none(), "{shown}: take it off the list");
        }
    }

    #[test]
    fn what_two_recipes_share_is_the_same_to_the_byte() {
        for (name, recipes) in SAME {
            let first = source(recipes[0]).text(name).to_owned();
            assert!(!first.is_empty(), "{} has no {name}", recipes[0]);
            for recipe in *recipes {
                assert_eq!(
                    source(recipe).text(name),
                    first,
                    "{name} of {recipe} and of {}",
                    recipes[0]
                );
            }
        }
        for (recipe, name) in
            LADDER.iter().flatten().flat_map(|r| SAME.iter().map(move |(name, _)| (r, name)))
        {
            let rows =
                SAME.iter().filter(|(same, recipes)| same == name && recipes.contains(recipe));
            let has = usize::from(!source(recipe).text(name).is_empty());
            let has_row = rows.count().min(1);
            assert_eq!(has, has_row, "{recipe}: {name} and its row in SAME");
        }
    }

    #[test]
    fn a_story_is_split_at_the_margin() {
        let source = "//! Title.\n\nmod args;\nuse a::{\n    b,\n};\n\n/// Why.\n#[x]\nfn serve(\n    a: u8,\n) {\n    \
                      b();\n\n    c();\n}\n\nconst A: u8 = 1;\nimpl Drop for X<'_> {\n}\n";
        let items = Source::parse(source).items;
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["fn serve", "const A", "impl Drop for X"]);
        assert!(items[0].text.starts_with("/// Why.") && items[0].text.ends_with("c();\n}\n"));
    }
}
