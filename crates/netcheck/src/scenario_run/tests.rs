use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;
use crate::scenario::Scenario;

/// Standard output, to be read by the test.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    /// The output where a skip is allowed, whatever the environment says.
    fn output(scenario: &Scenario, format: Format) -> (Result<(), Stopped>, Summary, String) {
        Self::output_with(scenario, format, false)
    }

    fn output_with(
        scenario: &Scenario,
        format: Format,
        no_skip: bool,
    ) -> (Result<(), Stopped>, Summary, String) {
        let page = Self::default();
        let out = Box::new(page.clone());
        let mut run = ScenarioRun::writing_to(out, scenario.name, scenario.summary, format);
        run.no_skip = no_skip;
        let (result, summary) = scenario.play_in(run);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        (result, summary, text)
    }
}

fn true_scenario(scenario: &mut ScenarioRun) -> Result<(), Stopped> {
    let clients = ["client 1 <- pid 5123   29 bytes", "client 2 <- pid 5124   29 bytes"];
    scenario.step("forking-echo --port 0", ["listening on 127.0.0.1:41233".to_owned()]);
    scenario.step("forking-client --port 41233", clients.map(str::to_owned));
    scenario.check("own-bytes", "each client got exactly its own bytes", true, "2 of 2")?;
    let skip = Skip { reason: "needs strace".to_owned() };
    scenario.skip("the calls are those of the header", &skip)?;
    scenario.check_eq("zombies", "no zombie is left", 0, 0, "/proc/*/stat")
}

const TRUE: Scenario = Scenario { name: "forking", summary: "two at once", run: true_scenario };

#[test]
fn a_scenario_has_its_evidence_in_one_column() {
    let (result, summary, text) = Page::output(&TRUE, Format::Text);
    result.unwrap();
    assert_eq!((summary.checks, summary.skipped), (2, vec!["needs strace".to_owned()]));
    let expected = "\
forking: two at once

  1  forking-echo --port 0                        listening on 127.0.0.1:41233
  2  forking-client --port 41233                  client 1 <- pid 5123   29 bytes
                                                  client 2 <- pid 5124   29 bytes
  ok  each client got exactly its own bytes       2 of 2
  --  the calls are those of the header           skipped: needs strace
  ok  no zombie is left                           /proc/*/stat

forking: 2 checks hold, 1 skipped, ";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_scenario_for_a_program_is_one_object_a_line() {
    let (_, _, text) = Page::output(&TRUE, Format::Json);
    let kinds: Vec<_> = text.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["scenario", "step", "step", "check", "skip", "check", "summary"]);
    let zombies = text.lines().find(|line| line.contains(r#""id":"zombies""#)).unwrap();
    assert!(zombies.contains(r#""holds":true,"expected":"0","got":"0""#), "{zombies}");
}

#[test]
fn a_skip_ends_the_scenario_where_nothing_may_be_skipped() {
    let (result, summary, text) = Page::output_with(&TRUE, Format::Text, true);
    assert!(matches!(result, Err(Stopped::Missing(skip)) if skip.reason == "needs strace"));
    assert_eq!((summary.checks, summary.skipped.len()), (1, 1));
    assert!(text.contains("forking: FAILED, 1 check holds"), "{text}");
}

#[test]
fn a_false_statement_ends_the_scenario_and_says_how_to_see_it_again() {
    let run = |scenario: &mut ScenarioRun| {
        scenario.step("forking-echo --port 0", []);
        scenario.check_eq("zombies", "no zombie is left", 0, 2, "5123, 5124")?;
        scenario.check("never", "nothing is said after it", true, "")
    };
    let scenario = Scenario { name: "forking", summary: "two at once", run };
    let (result, summary, text) = Page::output(&scenario, Format::Text);
    assert_eq!(summary.checks, 0);
    let expected = "
  NO  no zombie is left                           5123, 5124
      expected  0
      got       2
      again     forking-echo --port 0

forking: FAILED, 0 checks hold, ";
    assert!(text.contains(expected), "{text}");
    // The test suite prints no steps, so the reason must be complete by itself.
    let reason = result.unwrap_err().to_string();
    assert!(reason.starts_with("no zombie is left: 5123, 5124\n      expected  0"), "{reason}");
}

#[test]
fn a_panic_is_a_failure_of_the_scenario() {
    let run = |_: &mut ScenarioRun| panic!("forking-echo: no readiness line");
    let scenario = Scenario { name: "forking", summary: "two at once", run };
    let (result, _, text) = Page::output(&scenario, Format::Text);
    assert!(
        matches!(result, Err(Stopped::Broken(why)) if why == "forking-echo: no readiness line")
    );
    assert!(
        text.contains("NO  the scenario could continue                 forking-echo: no"),
        "{text}"
    );
}

#[test]
fn a_reader_who_leaves_changes_nothing() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut run = ScenarioRun::writing_to(Box::new(Closed), TRUE.name, TRUE.summary, Format::Text);
    run.no_skip = false;
    let (result, summary) = TRUE.play_in(run);
    result.unwrap();
    assert_eq!(summary.checks, 2);
}

#[test]
fn what_a_program_prints_moves_no_cursor() {
    let run = |scenario: &mut ScenarioRun| {
        let cat = Run::program("cat").stdin("one\x1b[2J\ntwo");
        assert_eq!(scenario.run(cat).code(), Some(0));
        Ok(())
    };
    let scenario = Scenario { name: "cat", summary: "untrusted output", run };
    let (_, summary, text) = Page::output(&scenario, Format::Text);
    assert!(
        text.contains(r"  1  cat                                          one\u{1b}[2J"),
        "{text}"
    );
    let kinds: Vec<_> = summary.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "ended"]);
}

/// A story with a server, which is stepped through with these answers.
fn stepped(answers: &'static str) -> (Result<(), Stopped>, String, i32) {
    let story = |run: &mut ScenarioRun| {
        let script = "echo \"listening on 127.0.0.1:7, pid $$\"; exec sleep 60";
        let server = run.serve_run(Run::program("sh").args(["-c", script]));
        run.event("pid", &server.pid().to_string());
        run.check("true", "it listens", true, "evidence")?;
        run.check("more", "it still does", true, "more evidence")
    };
    let page = Page::default();
    let mut run =
        ScenarioRun::writing_to(Box::new(page.clone()), "story", "a server", Format::Text);
    run.pause = Some(Pause::new(Box::new(answers.as_bytes())));
    let scenario = Scenario { name: "story", summary: "a server", run: story };
    let (result, summary) = scenario.play_in(run);
    let pid = summary.events.iter().find(|event| event.kind == "pid");
    let pid = pid.map_or(0, |event| event.detail.parse().unwrap());
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    (result, text, pid)
}

#[test]
fn each_step_and_statement_waits_for_enter_and_says_where_to_look() {
    let (result, text, pid) = stepped("\n\n\n");
    result.unwrap();
    assert_eq!(text.matches("Enter goes on, q ends it: ").count(), 3, "{text}");
    let asked = text.find("next  it listens?").unwrap();
    let before = text.find("ok  it listens").unwrap();
    assert!(asked < before, "{text}");
    for look in
        ["ss -tuanp 'sport = :7", &format!("/proc/{pid}/fd"), &format!("strace -f -p {pid}")]
    {
        assert!(text.get(asked..before).unwrap().contains(look), "{look}: {text}");
    }
    assert!(text.contains("next  sh -c"), "{text}");
}

#[test]
fn q_and_the_end_of_the_input_end_a_story_and_leave_nothing_running() {
    for answers in ["\nq\n", "\n"] {
        let (result, text, pid) = stepped(answers);
        assert!(matches!(result, Err(Stopped::Quit)), "{result:?}");
        assert!(text.contains("next  it listens?") && !text.contains("ok  it listens"), "{text}");
        assert!(text.contains("story: 0 checks hold"), "{text}");
        assert!(pid > 0 && crate::evidence::state(pid).is_none(), "{pid} runs");
    }
}
