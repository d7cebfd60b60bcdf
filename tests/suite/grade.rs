//! `cargo xtask grade`: hostile submissions reach nothing, and harm no other; grades are the same each time.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::Trial;
use netcheck::{Finished, Need, Run, Signal, Skip, evidence, need, open_folder, workspace};
use tempfile::TempDir;

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = topic(
        "grade",
        tests![
            hostile_submissions_reach_nothing_and_harm_no_other,
            the_same_attacks_reach_all_of_it_without_a_sandbox,
            killed_and_started_again_it_gives_the_same_grades,
            it_refuses_where_it_cannot_make_a_sandbox,
        ],
    );
    trials.extend(topic("grade::as_root", tests![root_makes_another_user_run_them]));
    trials
}

/// What no submission may read, in a file and in the environment of the teacher.
const SECRET: &str = "secret-of-the-teacher";

/// How long a class may take here.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Marks processes that must not outlive the one that has started them: how long they sleep.
fn mark() -> String {
    format!("98765.{}", std::process::id())
}

/// A class in a folder of its own, with a file that is not for students beside it.
struct Class {
    folder: TempDir,
    listener: TcpListener,
}

impl Class {
    fn new() -> Class {
        let folder = open_folder().unwrap();
        for part in ["class", "tmp", "outside"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let class = Class { folder, listener };
        fs::write(class.path("secret"), SECRET).unwrap();
        // What keeps them out is not the mode of a file. The temporary one is as /tmp.
        let open = |path, mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(class.path(path), mode).unwrap();
        };
        open("secret", 0o644);
        for path in ["class", "tmp", "outside"] {
            open(path, 0o777);
        }
        class
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a student has handed in for first-echo.
    fn hand_in(&self, student: &str, main: &str) -> PathBuf {
        let folder = self.path("class").join(student).join("first-echo");
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/main.rs"), main).unwrap();
        folder
    }

    /// The recipe.
    fn hand_in_right(&self, student: &str) -> PathBuf {
        let source = workspace().join("crates/echo-server/src");
        let folder = self.hand_in(student, "");
        for file in fs::read_dir(source).unwrap().flatten() {
            fs::copy(file.path(), folder.join("src").join(file.file_name())).unwrap();
        }
        folder
    }

    /// A program that becomes a shell with this script; its arguments are of this class.
    fn hand_in_script(&self, student: &str, script: &str) {
        let port = self.listener.local_addr().unwrap().port().to_string();
        let args = [self.path("secret"), workspace(), self.path("outside"), port.into()];
        let main = format!(
            "use std::os::unix::process::CommandExt;\nfn main() {{\n    let args: [&str; 4] = {args:?};\n    \
             panic!(\"{{}}\", std::process::Command::new(\"bash\").args([\"-c\", {script:?}, \"bash\"]).args(args).exec());\n}}\n"
        );
        self.hand_in(student, &main);
    }

    fn run(&self, options: &[&str]) -> Run {
        let run = Run::new("classroom").arg("grade").arg(self.path("class")).args(options);
        run.env("TMPDIR", self.path("tmp")).env("TEACHER", SECRET).deadline(TIMEOUT)
    }

    fn grade(&self, options: &[&str]) -> Finished {
        let finished = self.run(options).finish();
        assert_eq!(finished.code(), Some(0), "{}", said(&finished));
        finished
    }

    fn grades(&self, folder: &str) -> String {
        fs::read_to_string(self.path(folder).join("grades.csv")).unwrap()
    }

    /// The lines of `results.jsonl` by the students' names.
    fn results(&self, folder: &str) -> BTreeMap<String, serde_json::Value> {
        let text = fs::read_to_string(self.path(folder).join("results.jsonl")).unwrap();
        let line = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let named = |line: serde_json::Value| (line["student"].as_str().unwrap().to_owned(), line);
        text.lines().map(|text| named(line(text))).collect()
    }

    /// No process, no file and no mount is left, soon.
    fn nothing_is_left(&self) {
        let tmp = self.path("tmp");
        let place = tmp.to_string_lossy().into_owned();
        let left = || {
            let files = fs::read_dir(&tmp).unwrap().flatten().map(|file| file.path());
            let mut left: Vec<String> = files.map(|path| path.display().to_string()).collect();
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let words = String::from_utf8_lossy(&words).replace('\0', " ");
                if words.contains(&place) || words.contains(&mark()) {
                    left.push(words);
                }
            }
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
            left.extend(mounts.lines().filter(|line| line.contains(&place)).map(str::to_owned));
            left
        };
        let empty = || left().is_empty().then_some(());
        evidence::wait_until(Duration::from_secs(20), empty)
            .unwrap_or_else(|| panic!("left: {:#?}", left()));
    }
}

fn said(finished: &Finished) -> String {
    finished.stdout_text() + &finished.stderr_text()
}

/// Says what of a list can be done; what it harms without a sandbox is little.
const REACHES: &str = r#"
reached=
try() { if "$@" > /dev/null 2>&1; then reached="$reached $1"; fi; }
secret=$1 workspace=$2 outside=$3 port=$4
secret() { cat "$secret"; }
checks() { ls "$workspace/tests/src/exercise"; }
outside() { touch "$outside/reached"; }
teacher() { [ -n "$TEACHER" ] || cat /proc/*/environ | grep -aq secret-of; }
harness() { grep -q classroom /proc/*/comm; }
network() { exec 3<> "/dev/tcp/127.0.0.1/$port"; }
try secret; try checks; try outside; try teacher; try harness; try network
"#;

/// The same of what would harm this machine.
const HARMS: &str = r#"
shadow() { [ -e /etc/shadow ] || [ -e /etc/passwd ]; }
homes() { ls /root /home; }
others() { [ "$(ls -d /proc/[0-9]* | wc -l)" -gt 8 ]; }
mounts() { mount -t tmpfs none /tmp; }
users() { unshare --user true; }
system() { touch /usr/reached || touch /exercise/reached || touch /reached || touch /dev/reached; }
settings() { echo 1 > /proc/sys/kernel/printk; }
first() { kill -9 1; kill -STOP 1; [ ! -d /proc/1 ] || grep -q 'State:.T' /proc/1/status; }
root() { [ "$(id -u)" = 0 ]; }
try shadow; try homes; try others; try mounts; try users; try system; try settings; try first; try root
"#;

const SAYS: &str = "echo \"reached:$reached\" >&2; exit 3\n";

/// What a submission did, and what is said of it, beside others that are right.
fn hostile_submissions_reach_nothing_and_harm_no_other() -> Result<(), Skip> {
    need(Need::Bwrap)?;
    let class = Class::new();
    class.hand_in_script("reaches", &[REACHES, HARMS, SAYS].concat());
    class.hand_in_script("bomb", "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done");
    let fills = "for file in {/tmp,/dev/shm}/{1..8}; do head -c 60000000 /dev/zero > $file; done
        echo \"it wrote $(du -cm /tmp /dev/shm | tail -n 1)\" >&2; exit 3";
    class.hand_in_script("fills", fills);
    class.hand_in_script("prints", "exec yes");
    let sleep = format!("setsid sleep {}", mark());
    let outlives = format!("trap '' TERM INT HUP; {sleep} & ({sleep} &); exit 3");
    class.hand_in_script("outlives", &outlives);
    class.hand_in_script("kills", "kill -9 -1; echo still here >&2; exit 3");
    class.hand_in_script("kills-group", "kill -TERM 0; kill -9 0");
    let fake = r#"{"check":"one-client","verdict":"pass","not_ready":false}"#;
    let fakes = format!("for fd in 1 2 3 4 5 6 7 8 9; do echo '{fake}' >&$fd; done; exit 0");
    class.hand_in_script("fakes", &fakes);
    builds(&class);
    names(&class);
    let right = class.hand_in_right("right");
    let build = "fn main() { std::fs::write(\"OUTSIDE\", \"\").unwrap(); }";
    let reached = class.path("outside/built").display().to_string();
    fs::write(right.join("build.rs"), build.replace("OUTSIDE", &reached)).unwrap();
    fs::write(right.join("Cargo.toml"), "[package]\nname = \"mine\"\nbuild = \"build.rs\"")
        .unwrap();

    class.grade(&["--jobs", "6"]);
    class.nothing_is_left();
    let reached = fs::read_dir(class.path("outside")).unwrap().count();
    assert_eq!(reached, 0, "files outside");
    assert!(class.listener.accept().is_err(), "nobody connected");
    verdicts(&class);
    pages(&class);
    Ok(())
}

/// Submissions that attack while they are compiled.
fn builds(class: &Class) {
    let secret = class.path("secret").display().to_string();
    let prints = |what: &str| format!("fn main() {{ eprintln!(\"{{}}\", {what}); }}");
    class.hand_in("includes", &prints(&format!("include_str!({secret:?})")));
    let solution = workspace().join("crates/echo-server/src/main.rs").display().to_string();
    class.hand_in("copies", &prints(&format!("include_str!({solution:?})")));
    class.hand_in("reads-env", &prints("env!(\"TEACHER\")"));
    let outside = class.path("outside/macro").display().to_string();
    let runs = format!(
        "#![crate_type = \"proc-macro\"]\nextern crate proc_macro;\n#[proc_macro]\npub fn run(it: \
         proc_macro::TokenStream) -> proc_macro::TokenStream {{ std::fs::write({outside:?}, \"\").unwrap(); it }}\n\
         run!();\nfn main() {{}}\n"
    );
    class.hand_in("runs-macro", &runs);
}

/// Folders whose names are an attack, or that are none.
fn names(class: &Class) {
    for name in ["=cmd|' A0", "new\nline,quote\"", "<img src=x onerror=alert(1)>", "...", "dot.dot"]
    {
        fs::create_dir_all(class.path("class").join(name).join("first-echo")).unwrap();
    }
    let linked = class.hand_in("links-src", "");
    fs::remove_dir_all(linked.join("src")).unwrap();
    symlink(workspace().join("crates/echo-server/src"), linked.join("src")).unwrap();
    symlink(class.path("class/right"), class.path("class/is-link")).unwrap();
}

fn verdicts(class: &Class) {
    let results = class.results("class-grades");
    let has = |student: &str, text: &str| {
        let result = results.get(student).unwrap_or_else(|| panic!("{student}: {results:#?}"));
        assert!(result.to_string().contains(text), "{student}, {text}: {result:#}");
        let points = if student == "right" { result["of"].clone() } else { 0.into() };
        assert_eq!(result["points"], points, "{student}: {result:#}");
    };
    let end = r#"stderr: reached:""#;
    has("reaches", end);
    has("bomb", "at most 200 processes");
    has("fills", "it wrote 2");
    has("prints", "more than 64 MiB");
    has("outlives", "exit status: 3");
    has("kills", "still here");
    has("kills-group", "signal: 15");
    has("fakes", "it has ended");
    for (student, why) in [
        ("includes", "couldn't read"),
        ("copies", "couldn't read"),
        ("reads-env", "not defined at compile time"),
        ("runs-macro", "error"),
    ] {
        has(student, why);
        has(student, r#""state":"build_error""#);
    }
    has("links-src", "src: a link or a file, where a folder has to be");
    has("is-link", "is-link: a link or a file, where a folder has to be");
    has("right", r#""left":["build.rs"]"#);
}

/// What is written is what it looks like.
fn pages(class: &Class) {
    let grades = class.grades("class-grades");
    for line in ["'=cmd|' A0,0,0,", r#""new\nline,quote""",0,0,"#, "right,10,10,10"] {
        assert!(grades.contains(line), "{line}: {grades}");
    }
    assert_eq!(grades.lines().count(), 20, "{grades}");
    let mut files = Vec::new();
    for part in ["", "feedback", "gradescope"] {
        let folder = class.path("class-grades").join(part);
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                files.push(entry.path());
            }
        }
    }
    assert_eq!(files.len(), 4 + 3 * 19, "{files:#?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(SECRET), "{}", path.display());
        let is_page = path.extension().is_some_and(|kind| kind == "html" || kind == "md");
        // In Markdown it is text, `\<img`.
        let is_markup = text.replace("\\<", "").contains("<img");
        assert!(!(is_page && is_markup), "{}", path.display());
    }
}

/// Otherwise nothing would be shown by what is not reached.
fn the_same_attacks_reach_all_of_it_without_a_sandbox() -> Result<(), Skip> {
    let class = Class::new();
    class.hand_in_script("reaches", &[REACHES, SAYS].concat());
    let finished = class.grade(&["--unsafe-no-sandbox"]);
    let said = said(&finished);
    assert!(said.contains("without a sandbox: each submission can read and write"), "{said}");
    let result = class.results("class-grades").remove("reaches").unwrap().to_string();
    let all = "reached: secret checks outside teacher harness network";
    assert!(result.contains(all), "{result}");
    assert!(class.path("outside/reached").exists());
    class.nothing_is_left();
    Ok(())
}

fn killed_and_started_again_it_gives_the_same_grades() -> Result<(), Skip> {
    need(Need::Bwrap)?;
    let class = Class::new();
    class.hand_in_right("right");
    for student in ["a", "b", "c", "d"] {
        class.hand_in(student, &format!("fn main() {{ eprintln!(\"{student}\") }}"));
    }
    class.hand_in("e", "fn main() { no }");
    let out = class.path("again").display().to_string();
    let process = class.run(&["--jobs", "2", "--out", &out]).start();
    let ledger = class.path("again/results.jsonl");
    let lines = || fs::read_to_string(&ledger).map_or(0, |text| text.lines().count());
    let begun = || (lines() >= 2 || !process.still_running()).then_some(());
    evidence::wait_until(TIMEOUT, begun).expect("the first results");
    assert!(process.still_running(), "{}", process.stderr());
    process.signal(Signal::SIGKILL);
    process.wait(TIMEOUT).unwrap();
    class.nothing_is_left();
    let finished = class.grade(&["--jobs", "2", "--out", &out]);
    assert!(finished.stdout_text().contains("are known from before"), "{}", said(&finished));
    class.grade(&["--jobs", "1"]);
    let grades = class.grades("class-grades");
    assert_eq!(grades, class.grades("again"));
    assert!(grades.starts_with("student,first-echo,total,of\na,0,0,10\n"), "{grades}");
    assert!(grades.ends_with("right,10,10,10\n"), "{grades}");
    // All is known: nothing is run, and a program that is another one is.
    let finished = class.grade(&["--jobs", "1"]);
    assert!(!finished.stdout_text().contains(" of "), "{}", said(&finished));
    class.hand_in("e", "fn main() {}");
    let finished = class.grade(&["--jobs", "1"]);
    assert!(finished.stdout_text().contains("1 of 1  e  first-echo"), "{}", said(&finished));
    Ok(())
}

fn it_refuses_where_it_cannot_make_a_sandbox() -> Result<(), Skip> {
    let class = Class::new();
    class.hand_in("a", "fn main() {}");
    let refused = |run: Run, reason: &str, advice: &str| {
        let finished = run.finish();
        let said = said(&finished);
        assert_eq!(finished.code(), Some(71), "{said}");
        assert!(said.contains(reason) && said.contains(advice), "{said}");
        assert!(said.contains("--unsafe-no-sandbox"), "{said}");
        class.nothing_is_left();
    };
    // `cp` is there, and bwrap is not.
    let programs = class.path("programs");
    fs::create_dir(&programs).unwrap();
    for program in ["cp", "sh", "true"] {
        symlink(Path::new("/bin").join(program), programs.join(program)).unwrap();
    }
    let run = class.run(&[]).env("PATH", &programs);
    refused(run, "bwrap is not found", "apt-get install bubblewrap");
    need(Need::Bwrap)?;
    let words = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--disable-userns", "--"];
    let run = class.run(&[]).under(&words.map(str::to_owned));
    refused(run, "unshare", "user.max_user_namespaces");
    Ok(())
}

fn root_makes_another_user_run_them() -> Result<(), Skip> {
    need(Need::OtherUser)?;
    need(Need::Bwrap)?;
    let class = Class::new();
    class.hand_in_right("right");
    class.hand_in_script("reaches", &[REACHES, HARMS, SAYS].concat());
    let process = class.run(&["--jobs", "1"]).start();
    let is_nobody = |&pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == "Uid:\t65534\t65534\t65534\t65534")
    };
    let seen = || evidence::descendants(process.pid()).iter().any(is_nobody).then_some(());
    evidence::wait_until(TIMEOUT, seen).expect("a process of another user");
    let status = process.wait(TIMEOUT).unwrap();
    assert!(status.success(), "{}", process.stderr());
    let results = class.results("class-grades");
    assert!(results["reaches"].to_string().contains(r#"stderr: reached:""#), "{results:#?}");
    assert_eq!(results["right"]["points"], 10, "{results:#?}");
    class.nothing_is_left();
    Ok(())
}
