use super::*;

#[test]
fn links_to_recipes_go_to_their_chapters_and_others_become_text() {
    let text = "[`a`](crates/a/src/main.rs), [b](docs/b.md), [c](https://c.example), ![d](d.svg), \
                [e](../crates/a/exercises/e.md).";
    let linked = pages::linked(text);
    let there = "[`a`](a.md), b, [c](https://c.example), ![d](d.svg), [e](a.md#exercise-e).";
    assert_eq!(linked, there);
}

#[test]
fn a_chapter_has_its_header_its_source_and_its_exercises_but_not_the_teachers_part() {
    let root = netcheck::workspace();
    let rows = readme::read(&root).unwrap();
    let row = rows.iter().find(|row| row.name == "forking-echo").unwrap();
    let text = chapter::chapter(&root, row, None, &[]).unwrap();
    for wanted in
        ["## What it shows", "## System calls", "[`serve`](#fn-serve)", "<a id=\"fn-serve\">"]
    {
        assert!(text.contains(wanted), "{wanted}");
    }
    assert!(text.contains("waitpid(None, Some(WaitPidFlag::WNOHANG))"));
    for (_, exercise) in chapter::exercises(&root.join("crates/forking-echo/exercises")).unwrap() {
        assert!(!exercise.contains("## Teacher") && exercise.starts_with("# "), "{exercise}");
    }
}

#[test]
fn every_scenario_belongs_to_one_chapter() {
    let rows = readme::read(&netcheck::workspace()).unwrap();
    let mut told = Vec::new();
    for row in &rows {
        told.extend(story::of(&row.name).unwrap().iter().map(|scenario| scenario.name));
    }
    told.sort_unstable();
    let mut all: Vec<&str> = scenarios::ALL.iter().map(|scenario| scenario.name).collect();
    all.sort_unstable();
    assert_eq!(told, all);
}
