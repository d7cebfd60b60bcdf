//! What every binary of the workspace keeps, tried on each of them. They are found by looking, and
//! what a test has to know of one is read from its source, its `--help` and its header: a new recipe is
//! covered without a new test.

mod addresses;
mod ends;
mod help;
mod streams;
mod usage;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use netcheck::{Finished, Header, Run, Server, Skip, recipes, workspace};

use crate::trial;
use crate::try_it::{in_folder, on_a_free_port, placed, shell};

/// A test of one binary.
type Topic = fn(&Tool) -> Result<(), Skip>;

/// Which binaries a topic is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All of them; of a binary: none of those below.
    Any,
    /// It says where it listens, and serves until it is told to stop.
    Server,
    /// It asks a server.
    Client,
    /// It serves too, and listens on a name that it is given.
    Named,
}

impl Kind {
    /// Its option `--port` says which, in the words that all recipes have for it.
    fn from_source(source: &str) -> Self {
        if source.contains("/// port to listen on") {
            Self::Server
        } else if source.contains("/// name to listen on") {
            Self::Named
        } else if source.contains("/// port of the server") {
            Self::Client
        } else {
            Self::Any
        }
    }
}

/// All files of a recipe: one with many options has them beside its main file.
fn source_of(name: &str) -> String {
    let folder = workspace().join("crates").join(name).join("src");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

pub(crate) fn trials() -> Vec<Trial> {
    let topics =
        [help::TOPICS, usage::TOPICS, addresses::TOPICS, streams::TOPICS, ends::TOPICS].concat();
    let mut trials = Vec::new();
    for name in recipes() {
        let kind = Kind::from_source(&source_of(&name));
        for &(topic, about, body) in &topics {
            if about == Kind::Any || about == kind {
                let recipe = name.clone();
                let body = move || body(&Tool::look_at(&recipe, kind));
                trials.push(trial(format!("contract::{name}::{topic}"), body));
            }
        }
    }
    trials
}

/// `topics![Any: one, two; Server: three;]`: each function with its name and what it is about.
macro_rules! topics {
    ($($kind:ident: $($topic:ident),+ $(,)?;)+) => {
        &[$($((
            stringify!($topic),
            $crate::contract::Kind::$kind,
            $topic as $crate::contract::Topic,
        )),+),+]
    };
}
use topics;

/// A binary, and what its `--help` says.
struct Tool {
    name: String,
    kind: Kind,
    /// It speaks UDP: there is no connection that could fail.
    datagrams: bool,
    help: String,
}

/// An option, as `--help` lists it.
struct Listed {
    /// `-p`.
    short: Option<String>,
    /// `--port`.
    long: String,
    /// `port` of `<port>`; a switch has none.
    value: Option<String>,
}

impl Tool {
    fn look_at(name: &str, kind: Kind) -> Self {
        let help = Run::new(name).arg("--help").finish().stdout_text();
        let datagrams = source_of(name).contains("Type::DGRAM");
        Self { name: name.to_owned(), kind, datagrams, help }
    }

    fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        Run::new(&self.name).args(args)
    }

    /// It, started by the shell with a redirection such as `>&-`. The process id is its own.
    fn redirected<A: AsRef<OsStr>>(
        &self,
        redirection: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Run {
        self.run(args).redirected(redirection)
    }

    /// The lines of a section of `--help`, up to the next one.
    fn section(&self, heading: &str) -> impl Iterator<Item = &str> {
        let lines = self.help.lines().skip_while(move |line| *line != heading).skip(1);
        lines.take_while(|line| line.starts_with(' ')).map(str::trim)
    }

    fn options(&self) -> Vec<Listed> {
        let listed = |line: &str| {
            let mut words = line.split_whitespace().peekable();
            let short = words.next_if(|word| word.ends_with(',')).map(|word| word.replace(',', ""));
            let long = words.next().filter(|word| word.starts_with("--"))?.to_owned();
            let value = words.next().and_then(|word| word.strip_prefix('<')?.strip_suffix('>'));
            Some(Listed { short, long, value: value.map(str::to_owned) })
        };
        self.section("OPTIONS").filter_map(listed).collect()
    }

    fn has(&self, option: &str) -> bool {
        self.options().iter().any(|listed| listed.long == option)
    }

    fn examples(&self) -> Vec<&str> {
        self.section("EXAMPLES").collect()
    }

    /// The exit codes that `--help` lists.
    fn codes(&self) -> Vec<i32> {
        self.section("EXIT CODES").filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
    }

    /// The options without which its usage is not complete.
    fn required(&self) -> Vec<&str> {
        let usage = self.help.lines().next().unwrap_or_default();
        let (options, _) = usage.split_once(" [options]").unwrap_or((usage, ""));
        options.split(' ').filter(|word| word.starts_with("--")).collect()
    }

    /// The shortest command line that is complete: what its usage requires, with the values of its
    /// first example, but for the port.
    fn needed(&self, port: &str) -> Vec<String> {
        let usage = self.help.lines().next().unwrap_or_default();
        let (_, positionals) = usage.split_once(" [options]").unwrap_or((usage, ""));
        let command = self.examples()[0].split(['<', '>', '|']).next().unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut args = Vec::new();
        let mut required = self.required();
        // A port with a default is chosen all the same: a test has its own.
        let has_port = match self.kind {
            Kind::Any => false,
            Kind::Named => self.has("--port"),
            Kind::Server | Kind::Client => true,
        };
        if has_port && !required.contains(&"--port") {
            required.push("--port");
        }
        for option in required {
            let value = words.iter().skip_while(|word| **word != option).nth(1);
            let value = if option == "--port" { port } else { value.expect("an example has it") };
            args.extend([option.to_owned(), value.to_owned()]);
        }
        let required = positionals.split(' ').filter(|word| word.starts_with('<')).count();
        args.extend(words[words.len() - required..].iter().map(|word| (*word).to_owned()));
        args
    }

    /// The attempt of a client that fails where nobody is.
    fn attempt(&self) -> &'static str {
        if self.datagrams { "echo from" } else { "connect to" }
    }

    /// The server that the header of a client starts before it.
    fn partner(&self) -> Server {
        self.server_of_header(Path::new("/")).expect("a server to ask")
    }

    /// The server that its header starts, if it needs one; the folder is for its name.
    fn server_of_header(&self, folder: &Path) -> Option<Server> {
        let blocks = Header::read(&self.name).transcript.into_iter();
        let server = blocks.flat_map(|block| block.typed).find(|typed| typed.background)?;
        let line = placed(&on_a_free_port(&server.command));
        Some(Server::start_run(in_folder(shell(&line), folder)))
    }

    /// Runs it with these arguments, and finds a usage error that mentions all these words: one line,
    /// where to read more, and nothing else.
    fn refuses<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>, mentioned: &[&str]) {
        let run = self.run(args);
        let command = run.command_line();
        let Finished { status, stdout, stderr, .. } = run.finish();
        let said = String::from_utf8(stderr).expect("UTF-8");
        assert_eq!(status.code(), Some(2), "{command}\n{said}");
        assert!(stdout.is_empty(), "{command} wrote to standard output");
        let (line, rest) = said.split_once('\n').expect("a line");
        assert!(line.starts_with(&format!("{}: ", self.name)), "{command}\n{said}");
        assert!(
            mentioned.iter().all(|word| line.contains(word)),
            "{command}: {mentioned:?}?\n{said}"
        );
        assert!(!line.contains(char::is_control), "{command}: {said:?}");
        assert_eq!(rest, format!("Try '{} --help'.\n", self.name), "{command}");
    }
}

/// That a run ended with one of these exit codes, and said on standard error what begins so.
fn ended(finished: &Finished, codes: &[i32], begins: &str) {
    let said = finished.stderr_text();
    assert!(finished.code().is_some_and(|code| codes.contains(&code)), "{codes:?}? {finished:?}");
    assert!(said.starts_with(begins), "{begins:?}?\n{said}");
}
