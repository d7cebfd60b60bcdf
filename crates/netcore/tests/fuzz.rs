//! What the fuzz target takes of netcore is public: here its check is compiled outside of the crate, as
//! it is there.

#[path = "../../../tests/fuzz/checks/ntp.rs"]
mod check;

#[test]
fn the_honest_answer_is_believed() {
    assert_eq!(check::check(&[0; check::HEAD + 48]), "accepted");
}
