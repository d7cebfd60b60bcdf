//! The pictures in a real browser: texts are measured there, and keys are pressed.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says that something is wrong")]

use std::path::Path;
use std::process::Command;

use netcheck::{Need, need, require_all};
use tempfile::TempDir;

/// What is left of a page once its scripts have run.
fn dom(page: &Path, profile: &TempDir) -> String {
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--virtual-time-budget=5000")
        .arg(page)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every text fits its box, and boxes and labels cover one another nowhere.
const MEASURE: &str = r#"<script>
const wrong = [];
for (const svg of document.querySelectorAll("svg")) {
  const of = node => node.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll("[data-row]")].map(box => {
    const rect = of(box.querySelector("rect")), text = of(box.querySelector("text"));
    if (text.left < rect.left - 1 || text.right > rect.right + 1) wrong.push("no room: " + box.textContent);
    return [rect, box.textContent];
  });
  const labels = [...svg.querySelectorAll("[data-label]")].map(label => [of(label), label.textContent]);
  const all = boxes.concat(labels);
  all.forEach(([a, text], place) => all.slice(place + 1).forEach(([b, other]) => {
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    // A label is measured with the space above and below its letters.
    if (x > 1 && y > 4) wrong.push(text + " covers " + other);
  }));
}
document.title = "measured " + document.querySelectorAll("[data-row]").length + " wrong " + wrong.length;
document.body.append(wrong.join("\n"));
</script>"#;

/// The whole, then the first row, the second, the first again, the whole.
const PRESS: &str = r#"<script>
const shown = [], press = key => {
  document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  shown.push(document.querySelector("output").textContent ? 1 : 0, document.querySelectorAll(".veil").length);
};
["ArrowRight", "ArrowRight", "ArrowLeft", "Escape"].forEach(press);
document.title = "pressed " + shown.join("");
</script>"#;

#[test]
fn in_a_browser_every_text_fits_and_the_keys_go_through_a_page() {
    if let Err(skip) = need(Need::Chromium) {
        assert!(!require_all(), "{skip}");
        return;
    }
    let folder = TempDir::new().unwrap();
    let fixtures = netcheck::workspace().join("xtask/picture/fixtures");
    for picture in ["forking/1.svg", "echo/1.svg", "sntp/1.svg"] {
        let svg = std::fs::read_to_string(fixtures.join(picture)).unwrap();
        let page = include_str!("../src/page.html").replace("@PICTURES@", &svg);
        let measured = folder.path().join("measured.html");
        std::fs::write(&measured, page.replace("</body>", &format!("{MEASURE}</body>"))).unwrap();
        let dom_of = dom(&measured, &folder);
        assert!(
            dom_of.contains(" wrong 0</title>"),
            "{picture}: {}",
            dom_of.lines().last().unwrap_or("")
        );
        let pressed = folder.path().join("pressed.html");
        std::fs::write(&pressed, page.replace("</body>", &format!("{PRESS}</body>"))).unwrap();
        assert!(dom(&pressed, &folder).contains("<title>pressed 11111100</title>"), "{picture}");
    }
}
