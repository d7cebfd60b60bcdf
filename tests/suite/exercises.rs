//! The checks of the exercises hold for the recipe that solves each; and solutions in other languages are
//! judged as they should be.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, need, workspace};
use scenarios::exercise::{ALL, Check, Exercise, Fault, Launch, Subject};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let checks = ALL.iter().flat_map(|exercise| exercise.checks.iter().map(move |c| (exercise, c)));
    let mut trials: Vec<Trial> = checks.map(|(exercise, check)| holds(exercise, check)).collect();
    trials
        .push(trial("exercises::see_options_and_calls_of_a_server".to_owned(), options_and_calls));
    for exercise in ALL {
        let folder = workspace().join("tests/languages").join(exercise.id);
        for source in fs::read_dir(folder).into_iter().flatten().flatten() {
            trials.push(judged(exercise, source.path()));
        }
    }
    trials
}

fn holds(exercise: &'static Exercise, check: &'static Check) -> Trial {
    let name = format!("exercises::{}::{}", exercise.id, check.id);
    trial(name, || match check.judge(&Subject::recipe(exercise, 1)) {
        Ok(_) => Ok(()),
        Err(Fault::Skipped(skip)) => Err(skip),
        Err(fault) => panic!("{fault:?}"),
    })
}

/// What checks can ask for beside the wire and /proc.
fn options_and_calls() -> Result<(), Skip> {
    let exercise = ALL.iter().find(|exercise| exercise.id == "no-zombies").unwrap();
    let subject = Subject::recipe(exercise, 1);
    let skipped_or = |fault| match fault {
        Fault::Skipped(skip) => skip,
        other => panic!("{other:?}"),
    };
    let (service, trace) = subject.serve_traced(&["trace=bind,listen"]).map_err(skipped_or)?;
    let names: Vec<_> = trace.calls().into_iter().map(|call| call.name).collect();
    assert_eq!(names, ["bind", "listen"]);
    drop(service);
    let service = subject.serve().map_err(skipped_or)?;
    assert!(service.listener().map_err(skipped_or)?.reuse_address().unwrap());
    Ok(())
}

/// `right.py` passes every check, `wrong.py` does not.
fn judged(exercise: &'static Exercise, source: PathBuf) -> Trial {
    let file = source.file_name().unwrap().to_string_lossy().into_owned();
    trial(format!("exercises::{}::{file}", exercise.id), move || {
        let folder = tempfile::tempdir().unwrap();
        let subject = Subject::new(launch(exercise, &source, folder.path())?, 1);
        let results = exercise.checks.iter().map(|check| (check.id, check.judge(&subject)));
        let faults: Vec<_> = results.filter_map(|(id, result)| Some((id, result.err()?))).collect();
        assert!(
            faults.iter().all(|(_, fault)| matches!(fault, Fault::Wrong(_))),
            "nothing is skipped, and nothing breaks: {faults:?}"
        );
        assert_eq!(faults.is_empty(), file.starts_with("right"), "{faults:?}");
        Ok(())
    })
}

/// How a program in that language is started, with the arguments that it is given.
fn launch(exercise: &Exercise, source: &Path, folder: &Path) -> Result<Launch, Skip> {
    let program = folder.join(exercise.id);
    let compiled = |compiler: Run| {
        let finished = compiler.finish();
        assert!(finished.status.success(), "{}", finished.stderr_text());
        vec![program.to_string_lossy().into_owned()]
    };
    let mut command = match source.extension().and_then(|kind| kind.to_str()) {
        Some("c") => {
            need(Need::Cc)?;
            let options = ["-Wall", "-Wextra", "-Werror", "-O1", "-pthread", "-o"];
            compiled(Run::program("cc").args(options).arg(&program).arg(source))
        }
        Some("go") => {
            need(Need::Go)?;
            let build = Run::program("go").args(["build", "-o"]).arg(&program).arg(source);
            // What it has built of its library serves all of them, and the next run.
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
            compiled(build.env("GOCACHE", cache).env("GOFLAGS", "-mod=mod"))
        }
        Some("py") => {
            need(Need::Python3)?;
            // A shim of the name `python3` may take seconds to find the program.
            let which = Run::program("python3").args(["-c", "import sys; print(sys.executable)"]);
            let python = which.finish().stdout_text().trim().to_owned();
            vec![python, source.to_string_lossy().into_owned()]
        }
        other => panic!("{}: no such language: {other:?}", source.display()),
    };
    let is_client = exercise.args.iter().any(|arg| arg.contains("{host}"));
    command.extend(is_client.then(|| "{host}".to_owned()));
    command.push("{port}".to_owned());
    Ok(Launch { command, ..Launch::default() })
}
