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
    /// The story as told where a skip is allowed, whatever the environment says.
    fn told(scenario: &Scenario, voice: Voice) -> (Result<(), Halt>, Summary, String) {
        Self::told_with(scenario, voice, false)
    }

    fn told_with(
        scenario: &Scenario,
        voice: Voice,
        no_skip: bool,
    ) -> (Result<(), Halt>, Summary, String) {
        let page = Self::default();
        let out = Box::new(page.clone());
        let mut story = Story::told_to(out, scenario.name, scenario.summary, voice);
        story.no_skip = no_skip;
        let (result, summary) = scenario.play_in(story);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        (result, summary, text)
    }
}

fn true_story(story: &mut Story) -> Result<(), Halt> {
    let clients = ["client 1 <- pid 5123   29 bytes", "client 2 <- pid 5124   29 bytes"];
    story.step("forking-echo --port 0", ["listening on 127.0.0.1:41233".to_owned()]);
    story.step("forking-client --port 41233", clients.map(str::to_owned));
    story.check("own-bytes", "each client got exactly its own bytes", true, "2 of 2")?;
    let skip = Skip { reason: "needs strace".to_owned() };
    story.skip("the calls are those of the header", &skip)?;
    story.check_eq("zombies", "no zombie is left", 0, 0, "/proc/*/stat")
}

const TRUE: Scenario = Scenario { name: "forking", summary: "two at once", run: true_story };

#[test]
fn a_story_has_its_evidence_in_one_column() {
    let (result, summary, text) = Page::told(&TRUE, Voice::Tell);
    result.unwrap();
    assert_eq!((summary.checks, summary.skipped), (2, 1));
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
fn a_story_for_a_program_is_one_object_a_line() {
    let (_, _, text) = Page::told(&TRUE, Voice::Json);
    let kinds: Vec<_> = text.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["scenario", "step", "step", "check", "skip", "check", "summary"]);
    let zombies = text.lines().find(|line| line.contains(r#""id":"zombies""#)).unwrap();
    assert!(zombies.contains(r#""holds":true,"expected":"0","got":"0""#), "{zombies}");
}

#[test]
fn a_skip_ends_the_story_where_nothing_may_be_skipped() {
    let (result, summary, text) = Page::told_with(&TRUE, Voice::Tell, true);
    assert!(matches!(result, Err(Halt::Missing(skip)) if skip.reason == "needs strace"));
    assert_eq!((summary.checks, summary.skipped), (1, 1));
    assert!(text.contains("forking: FAILED, 1 check holds"), "{text}");
}

#[test]
fn a_false_statement_ends_the_story_and_says_how_to_see_it_again() {
    let run = |story: &mut Story| {
        story.step("forking-echo --port 0", []);
        story.check_eq("zombies", "no zombie is left", 0, 2, "5123, 5124")?;
        story.check("never", "nothing is said after it", true, "")
    };
    let scenario = Scenario { name: "forking", summary: "two at once", run };
    let (result, summary, text) = Page::told(&scenario, Voice::Tell);
    assert_eq!(summary.checks, 0);
    let told = "
  NO  no zombie is left                           5123, 5124
      expected  0
      got       2
      again     forking-echo --port 0

forking: FAILED, 0 checks hold, ";
    assert!(text.contains(told), "{text}");
    // The test suite is told nothing on the way, so the reason must be whole by itself.
    let reason = result.unwrap_err().to_string();
    assert!(reason.starts_with("no zombie is left: 5123, 5124\n      expected  0"), "{reason}");
}

#[test]
fn a_panic_is_a_failure_of_the_scenario() {
    let run = |_: &mut Story| panic!("forking-echo: no readiness line");
    let scenario = Scenario { name: "forking", summary: "two at once", run };
    let (result, _, text) = Page::told(&scenario, Voice::Tell);
    assert!(matches!(result, Err(Halt::Broken(why)) if why == "forking-echo: no readiness line"));
    assert!(
        text.contains("NO  the scenario could go on                    forking-echo: no"),
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
    let mut story = Story::told_to(Box::new(Closed), TRUE.name, TRUE.summary, Voice::Tell);
    story.no_skip = false;
    let (result, summary) = TRUE.play_in(story);
    result.unwrap();
    assert_eq!(summary.checks, 2);
}

#[test]
fn what_a_program_prints_moves_no_cursor() {
    let run = |story: &mut Story| {
        let cat = Run::program("cat").stdin("one\x1b[2J\ntwo");
        assert_eq!(story.run(cat).code(), Some(0));
        Ok(())
    };
    let scenario = Scenario { name: "cat", summary: "untrusted output", run };
    let (_, summary, text) = Page::told(&scenario, Voice::Tell);
    assert!(
        text.contains(r"  1  cat                                          one\u{1b}[2J"),
        "{text}"
    );
    let kinds: Vec<_> = summary.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "ended"]);
}
