//! What can be seen of the exercises without building one.

use classroom::task::{Alternative, Mutant, Task};

#[test]
fn what_an_exercise_changes_occurs_once_in_its_recipe() {
    for task in Task::all().unwrap() {
        task.stubs().unwrap();
        for Mutant { id, file, find, replace, .. } in &task.spec.mutant {
            task.changed(id, [file, find, replace]).unwrap();
        }
        for Alternative { id, file, find, replace } in &task.spec.alternative {
            task.changed(id, [file, find, replace]).unwrap();
        }
    }
}
