//! The system calls of a program, as strace(1) saw them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::evidence;
use crate::process::Process;
use crate::record;
use crate::run::Run;

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The process (its thread, strictly) that made it.
    pub pid: i32,
    /// `accept4`.
    pub name: String,
    /// What stands between the parentheses: `3, NULL, NULL, SOCK_CLOEXEC`.
    pub args: String,
    /// What it returned: `4`, `-1 EMFILE (Too many open files)`, `?`. Empty while it has not returned.
    pub result: String,
}

/// Where strace writes; removed when dropped, if it is no part of a recording.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    /// The calls that are asked for; of a recording, which has more.
    only: Option<Vec<String>>,
}

impl TraceFile {
    fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("netcheck-{}-{count}.strace", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A file of that name is a dead process's, or someone's trap: it is never written through.
        let _ = fs::remove_file(&path);
        File::create_new(&path).expect("create the trace file");
        Self { path, only: None }
    }

    /// The calls so far, in the order in which they began. They are complete after [`Run::finish`];
    /// of a running server they come a moment late: wait for the one you want.
    pub fn calls(&self) -> Vec<Call> {
        let calls = parse(&String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()));
        let Some(only) = &self.only else { return calls };
        let wanted = calls.into_iter().filter(|call| only.contains(&call.name));
        let plain =
            |call: Call| Call { args: plain(&call.args), result: plain(&call.result), ..call };
        wanted.map(plain).collect()
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        if self.only.is_none() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A call without what `-yy` writes beside each descriptor: `3<TCP:[127.0.0.1:7->127.0.0.1:8]>` is `3`.
fn plain(text: &str) -> String {
    let (mut plain, mut before) = (String::with_capacity(text.len()), ' ');
    let (mut quoted, mut escaped, mut inside) = (false, false, false);
    for c in text.chars() {
        match c {
            // `->` ends nothing.
            '>' if inside && before != '-' => inside = false,
            _ if inside => {}
            '<' if !quoted && before.is_ascii_digit() => inside = true,
            _ => {
                quoted ^= c == '"' && !escaped;
                escaped = c == '\\' && quoted && !escaped;
                plain.push(c);
            }
        }
        before = c;
    }
    plain
}

impl Run {
    /// The same under strace, children too. `expressions` are those of its option `-e`:
    /// `trace=accept4,close`, `inject=accept4:error=EMFILE:when=3..5` (counted a process). A path
    /// stands for the calls that are about it only.
    ///
    /// The process id stays the program's own: with `-D` strace is not its parent.
    ///
    /// While a picture is recorded ([`crate::record`]), the calls are read from the recording: a process has
    /// one tracer.
    ///
    /// # Panics
    /// Then, when a recording does not have what is asked for.
    pub fn traced(mut self, expressions: &[&str]) -> (Self, TraceFile) {
        if record::is_on() {
            let (Some(path), Some(only)) = (record::next(), record::names(expressions)) else {
                record::refuse_second_tracer()
            };
            self.recorded_to = Some(path.clone());
            return (self, TraceFile { path, only: Some(only) });
        }
        let file = TraceFile::create();
        // `-a 1` keeps one blank before the `=`; `-s` is long enough for what tests send.
        let mut args: Vec<_> = ["-D", "-f", "-a", "1", "-s", "256", "-o"].map(Into::into).into();
        args.push(file.path.clone().into_os_string());
        for expression in expressions {
            let option = if expression.starts_with('/') { "-P" } else { "-e" };
            args.extend([option.into(), expression.into()]);
        }
        args.push("--".into());
        (self.wrapped("strace", args).unrecorded(), file)
    }
}

/// How long strace has to attach, and a program to stop.
const SOON: Duration = Duration::from_secs(10);

/// strace, attached to processes that run already. Dropped, it detaches.
#[derive(Debug)]
pub struct Attached {
    strace: Process,
    file: TraceFile,
    pids: Vec<i32>,
}

impl Attached {
    /// Attaches to all threads of `pids`, and to the children that they will have: those that they have
    /// already have to be among them. `expressions` as in [`Run::traced`]; a `when` counts from here, in
    /// each thread. An injected call is not executed: a `close` that fails leaves its descriptor open.
    ///
    /// # Panics
    /// When strace cannot attach ([`crate::Need::Attach`]).
    pub fn to(pids: &[i32], expressions: &[&str]) -> Self {
        let file = TraceFile::create();
        let run = Run::program("strace").args(["-f", "-a", "1", "-o"]).arg(&file.path);
        let run = expressions.iter().fold(run, |run, expression| run.args(["-e", expression]));
        let pids = pids.to_vec();
        let strace = pids.iter().fold(run, |run, pid| run.args(["-p", &pid.to_string()])).start();
        let attached = Self { strace, file, pids };
        let is_traced =
            |thread| evidence::tracer(thread) == Some(attached.strace.pid()) || has_ended(thread);
        let all = || {
            let mut threads = attached.pids.iter().flat_map(|&pid| evidence::threads(pid));
            threads.all(is_traced).then_some(())
        };
        let said = evidence::wait_until(SOON, all).is_some();
        assert!(said, "strace does not attach: {}", attached.strace.stderr());
        attached
    }

    /// The calls so far, a moment late.
    pub fn calls(&self) -> Vec<Call> {
        self.file.calls()
    }

    /// Detaches, and returns all calls. Between the entry and the exit of an injected call it would leave
    /// ENOSYS: so the processes are stopped first, which they are at the exit of a call only.
    pub fn detach(self) -> Vec<Call> {
        let signal_all = |pids: &[i32], signal| {
            pids.iter().for_each(|&pid| kill(Pid::from_raw(pid), signal).unwrap_or_default());
        };
        // The parents first: then they have no more new children.
        signal_all(&self.pids, Signal::SIGSTOP);
        evidence::wait_until(SOON, || self.have_stopped(&self.pids).then_some(()));
        let children = self.pids.iter().flat_map(|&pid| evidence::descendants(pid));
        let traced = |pid: &i32| evidence::tracer(*pid) == Some(self.strace.pid());
        let children: Vec<i32> = children.filter(traced).collect();
        signal_all(&children, Signal::SIGSTOP);
        evidence::wait_until(SOON, || self.have_stopped(&children).then_some(()));
        self.strace.signal(Signal::SIGINT);
        self.strace.wait(SOON);
        let pids = [self.pids.as_slice(), &children].concat();
        signal_all(&pids, Signal::SIGCONT);
        self.file.calls()
    }

    /// Whether strace has seen that each thread is stopped. The state `t` says less: it may be in a call.
    fn have_stopped(&self, pids: &[i32]) -> bool {
        let text = fs::read_to_string(&self.file.path).unwrap_or_default();
        let mut threads = pids.iter().flat_map(|&pid| evidence::threads(pid));
        threads.all(|thread| {
            let of_thread = |line: &&str| {
                line.split_once(' ').is_some_and(|(pid, _)| pid.parse() == Ok(thread))
            };
            let mut events = text.lines().filter(of_thread);
            has_ended(thread) || events.any(|line| line.ends_with("--- stopped by SIGSTOP ---"))
        })
    }
}

/// An injected call may have ended it at once.
fn has_ended(thread: i32) -> bool {
    evidence::state(thread).is_none_or(|state| state == 'Z' || state == 'X')
}

/// One event of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The thread that it is about.
    pub tid: i32,
    /// When it happened, or began, in nanoseconds since 1970; 0 in a trace without times.
    pub at_ns: u64,
    /// What happened.
    pub event: Event,
}

/// What strace tells of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call, which took this long; `None` while it has not returned.
    Call(Call, Option<u64>),
    /// A signal was delivered: `SIGCHLD {si_signo=SIGCHLD, …}`.
    Signal(String),
    /// It ended: `exited with 0`, `killed by SIGKILL`.
    Ended(String),
}

fn parse(text: &str) -> Vec<Call> {
    let calls = entries(text).into_iter().filter_map(|entry| match entry.event {
        Event::Call(call, _) => Some(call),
        Event::Signal(_) | Event::Ended(_) => None,
    });
    calls.collect()
}

/// The events of a trace, each where it began. It may have been written with
/// `--absolute-timestamps=format:unix,precision:ns --syscall-times=ns`, or without times.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // Where the call stands in which a thread still is.
    let mut unfinished: BTreeMap<i32, usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((tid, rest)) = line.split_once(' ') else { continue };
        let (Ok(tid), rest) = (tid.parse(), rest.trim_start()) else { continue };
        let (at_ns, rest) = match rest.split_once(' ').map(|(time, rest)| (nanos(time), rest)) {
            Some((Some(at_ns), rest)) => (at_ns, rest),
            _ => (0, rest),
        };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((_, rest)) = resumed.split_once(" resumed>") else { continue };
            let Some(begun) = unfinished.remove(&tid).and_then(|at| entries.get_mut(at)) else {
                continue;
            };
            let (rest, took) = took(rest);
            let (began, Event::Call(call, ended)) = (begun.at_ns, &mut begun.event) else {
                continue;
            };
            if let Some((args, result)) = rest.rsplit_once(") = ") {
                call.args.push_str(args);
                result.clone_into(&mut call.result);
                // The time that a call took begins when strace has written its arguments down.
                *ended = took.map(|took| took.max(at_ns.saturating_sub(began)));
            }
        } else if let Some(signal) = rest.strip_prefix("--- ") {
            let signal = signal.trim_end_matches(" ---").to_owned();
            entries.push(Entry { tid, at_ns, event: Event::Signal(signal) });
        } else if let Some(end) = rest.strip_prefix("+++ ") {
            let end = end.trim_end_matches(" +++").to_owned();
            entries.push(Entry { tid, at_ns, event: Event::Ended(end) });
        } else if let Some((name, rest)) = rest.split_once('(') {
            let (args, result, took) = if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                unfinished.insert(tid, entries.len());
                (begun.trim_end_matches(' '), "", None)
            } else {
                let (rest, took) = took(rest);
                let (args, result) = rest.rsplit_once(") = ").unwrap_or((rest, ""));
                (args, result, took)
            };
            let [name, args, result] = [name, args, result].map(str::to_owned);
            let event = Event::Call(Call { pid: tid, name, args, result }, took);
            entries.push(Entry { tid, at_ns, event });
        }
    }
    entries
}

/// `1796038530.315989211` in nanoseconds.
fn nanos(time: &str) -> Option<u64> {
    let (seconds, nanos) = time.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if nanos.len() != 9 || !digits(nanos) || !digits(seconds) {
        return None;
    }
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos.parse().ok()?)
}

/// The end of a line, and how long the call took: `) = 0 <0.000007261>`.
fn took(rest: &str) -> (&str, Option<u64>) {
    let timed = || {
        let (rest, time) = rest.strip_suffix('>')?.rsplit_once(" <")?;
        Some((rest, nanos(time)?))
    };
    timed().map_or((rest, None), |(rest, took)| (rest, Some(took)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::{Need, need, require_all};

    #[test]
    fn interrupted_lines_are_joined_and_signals_left_out() {
        let text = r#"7  accept4(3, NULL, NULL, SOCK_CLOEXEC <unfinished ...>
8  write(1, ") = 5", 5) = 5
7  <... accept4 resumed>) = -1 EMFILE (Too many open files) (INJECTED)
7  --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---
8  exit_group(0) = ?
8  +++ exited with 0 +++
7  accept4(3, "#;
        let calls = parse(text);
        let shown: Vec<_> = calls
            .iter()
            .map(|call| format!("{} {}({}) = {}", call.pid, call.name, call.args, call.result))
            .collect();
        assert_eq!(
            shown,
            [
                "7 accept4(3, NULL, NULL, SOCK_CLOEXEC) = -1 EMFILE (Too many open files) (INJECTED)",
                r#"8 write(1, ") = 5", 5) = 5"#,
                "8 exit_group(0) = ?",
                "7 accept4(3, ) = ",
            ]
        );
    }

    #[test]
    fn a_call_of_a_recording_reads_as_one_that_was_traced_for_itself() {
        for (recorded, traced) in [
            (r#"7<TCP:[127.0.0.1:7->127.0.0.1:8]>, "a 1<b>", 6, 0"#, r#"7, "a 1<b>", 6, 0"#),
            (
                "AF_UNIX, SOCK_STREAM, 0, [3<UNIX-STREAM:[1->2]>, 4<UNIX-STREAM:[2->1]>]",
                "AF_UNIX, SOCK_STREAM, 0, [3, 4]",
            ),
            (r#"3</a b>, "\"1<", 2"#, r#"3, "\"1<", 2"#),
            (
                "-1 EAGAIN (Resource temporarily unavailable)",
                "-1 EAGAIN (Resource temporarily unavailable)",
            ),
        ] {
            assert_eq!(plain(recorded), traced);
        }
        let names = record::names(&["trace=sendto,?io_uring_enter"]);
        assert_eq!(names, Some(vec!["sendto".to_owned(), "io_uring_enter".to_owned()]));
        for other in [&["trace=all"] as &[&str], &["inject=close:error=EIO"], &["trace=openat"]] {
            assert_eq!(record::names(other), None);
        }
    }

    #[test]
    fn a_call_fails_while_strace_is_attached_and_never_with_another_error() {
        if let Err(skip) = need(Need::Attach) {
            assert!(!require_all(), "{skip}");
            return;
        }
        let script = "while :; do kill -0 $$; done";
        let shell = Run::program("sh").args(["-c", script]).start();
        let attached = Attached::to(&[shell.pid()], &["trace=kill", "inject=kill:error=EPERM"]);
        let failed = || (attached.calls().len() > 100).then_some(());
        evidence::wait_until(SOON, failed).expect("calls that fail");
        let calls = attached.detach();
        assert!(calls.iter().all(|call| call.result.ends_with("(INJECTED)")));
        assert_eq!(evidence::tracer(shell.pid()), Some(0));
        // ENOSYS is what strace would leave of a call that it detaches in.
        evidence::pause(Duration::from_millis(50));
        let said = shell.stderr();
        assert!(said.contains("not permitted") && !said.contains("not implemented"), "{said}");
    }

    #[test]
    fn a_trace_with_times_has_when_a_call_began_and_how_long_it_took() {
        let text = "7 1.000000005 recvfrom(7<TCP:[1]>,  <unfinished ...>\n\
                    8 1.000000006 close(3) = 0 <0.000000002>\n\
                    7 2.000000000 <... recvfrom resumed>\"a <1.2>\", 9) = 1 <0.999999995>\n\
                    7 2.100000000 --- SIGCHLD {si_signo=SIGCHLD} ---\n\
                    8 2.200000000 exit(0) = ?\n8 2.300000000 +++ exited with 0 +++\n";
        let shown = |entry: &Entry| match &entry.event {
            Event::Call(call, took) => {
                format!("{} {}({}) = {} {took:?}", entry.at_ns, call.name, call.args, call.result)
            }
            Event::Signal(text) | Event::Ended(text) => format!("{} {text}", entry.at_ns),
        };
        assert_eq!(
            entries(text).iter().map(shown).collect::<Vec<_>>(),
            [
                r#"1000000005 recvfrom(7<TCP:[1]>,"a <1.2>", 9) = 1 Some(999999995)"#,
                "1000000006 close(3) = 0 Some(2)",
                "2100000000 SIGCHLD {si_signo=SIGCHLD}",
                "2200000000 exit(0) = ? None",
                "2300000000 exited with 0",
            ]
        );
    }

    #[test]
    fn a_traced_program_keeps_its_process_id_and_its_output() {
        if let Err(skip) = need(Need::Strace) {
            assert!(!require_all(), "{skip}");
            return;
        }
        let (run, trace) = Run::program("sh")
            .args(["-c", "echo $$; kill -0 $$; exit 3"])
            .traced(&["trace=write,kill", "inject=kill:error=EPERM"]);
        let finished = run.finish();
        assert_eq!(finished.code(), Some(3), "{finished:?}");
        let calls = trace.calls();
        let write = calls.iter().find(|call| call.name == "write").unwrap();
        assert_eq!(finished.stdout_text().trim(), write.pid.to_string());
        let kill = calls.iter().find(|call| call.name == "kill").unwrap();
        assert!(kill.result.starts_with("-1 EPERM"), "{kill:?}");
    }
}
