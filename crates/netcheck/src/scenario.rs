//! What a scenario is: a name, a line, and a function that runs it.

use std::any::Any;
use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::descriptors;
use crate::pause::{Pause, Quit};
use crate::scenario_run::{Format, ScenarioRun};
use crate::stopped::Stopped;
use crate::summary::Summary;
use crate::tool::Skip;

/// A scenario, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is asked for by: `forking`.
    pub name: &'static str,
    /// What it shows, in one line.
    pub summary: &'static str,
    /// Its steps and checks.
    pub run: fn(&mut ScenarioRun) -> Result<(), Stopped>,
}

impl Scenario {
    /// Runs it from start to end; `keep` leaves its servers running. A panic, as of a server that did not
    /// start, is a failure of the scenario and ends no other.
    pub fn play(&self, format: Format, keep: bool) -> (Result<(), Stopped>, Summary) {
        descriptors::raise();
        let mut run = ScenarioRun::new(self.name, self.summary, format);
        run.keep = keep;
        self.play_in(run)
    }

    /// The same before a class: each step and each statement waits for a line of `answers`,
    /// and says where to look meanwhile. `q` ends it, and leaves nothing running.
    pub fn step_through(&self, answers: Box<dyn BufRead>) -> (Result<(), Stopped>, Summary) {
        descriptors::raise();
        let mut run = ScenarioRun::new(self.name, self.summary, Format::Text);
        run.pause = Some(Pause::new(answers));
        self.play_in(run)
    }

    pub(crate) fn play_in(&self, mut run: ScenarioRun) -> (Result<(), Stopped>, Summary) {
        let result = catch_unwind(AssertUnwindSafe(|| (self.run)(&mut run)));
        let result = result.unwrap_or_else(|panic| {
            if panic.is::<Quit>() {
                return Err(Stopped::Quit);
            }
            match panic.downcast::<Skip>() {
                Ok(skip) => Err(Stopped::Missing(*skip)),
                Err(panic) => Err(Stopped::Broken(message_of(&*panic))),
            }
        });
        if let Err(stopped) = &result {
            run.stop(stopped);
        }
        (result, run.finish())
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".into())
}
