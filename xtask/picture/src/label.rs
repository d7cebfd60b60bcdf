//! Where the labels of arrows stand: where they cover no box and no other label, at best no bar either.

use crate::layout::{Label, Layout, Line, Rect, label_width};

const HEIGHT: f64 = 14.0;

/// Gives each label the first place that is free; one without is in the text that shows when one points at
/// the arrow.
pub(crate) fn place(layout: &mut Layout) {
    let mut labels: Vec<Label> = Vec::new();
    for line in layout.lines.iter().filter(|line| !line.label.is_empty()) {
        let width = label_width(&line.label) + 2.0;
        let free = |rect: &Rect, strictly: bool| {
            let inside = rect.x > 0.0
                && rect.x + rect.width < layout.width
                && rect.y > 100.0
                && rect.y + rect.height < layout.height - 30.0;
            inside
                && !layout.boxes.iter().any(|it| it.rect.overlaps(rect))
                && !labels.iter().any(|it| it.rect.overlaps(rect))
                && (!strictly || !on_a_line(layout, rect))
        };
        let places = places(line, width);
        let chosen = [true, false].iter().find_map(|&strictly| {
            Some((places.iter().find(|rect| free(rect, strictly))?, !strictly))
        });
        if let Some((rect, is_on_a_line)) = chosen {
            let is_on_a_line = is_on_a_line
                || layout.bands.iter().any(|(y, height, _)| {
                    let band = Rect { x: 0.0, y: *y, width: layout.width, height: *height };
                    band.overlaps(rect)
                });
            labels.push(Label {
                x: rect.x + width / 2.0,
                y: rect.y + HEIGHT - 3.0,
                text: line.label.clone(),
                colour: line.colour,
                rect: *rect,
                row: line.row,
                is_on_a_line,
            });
        }
    }
    layout.labels = labels;
}

/// Whether a bar or a line of life lies below it.
fn on_a_line(layout: &Layout, rect: &Rect) -> bool {
    let of_life =
        |x: f64, from: f64, to: f64| Rect { x: x - 4.0, y: from, width: 8.0, height: to - from };
    layout.bars.iter().any(|bar| bar.rect.overlaps(rect))
        || layout.queues.iter().any(|queue| queue.rect.overlaps(rect))
        || layout.lives.iter().any(|life| {
            of_life(life.line.x, life.line.from, life.line.to).overlaps(rect)
                || life
                    .zombie
                    .as_ref()
                    .is_some_and(|it| of_life(it.x, it.from, it.to).overlaps(rect))
        })
}

/// Some forty places along an arrow, on it, above and below.
fn places(line: &Line, width: f64) -> Vec<Rect> {
    let [(x0, y0), (x1, y1)] = line.ends;
    let length = (x1 - x0).hypot(y1 - y0).max(1.0);
    let near = |distance: f64| (distance / length).min(0.5);
    let edge = width / 2.0 + 6.0;
    let parts = [
        near(edge),
        near(edge + 14.0),
        near(edge + 30.0),
        near(edge + 60.0),
        1.0 - near(edge + 10.0),
        1.0 - near(edge + 26.0),
        0.5,
        0.4,
        0.6,
        0.3,
        0.7,
        0.2,
        0.8,
    ];
    let is_curve = line.path.contains('C');
    let mut places = Vec::new();
    for part in parts {
        let (mut x, y) = (x0 + part * (x1 - x0), y0 + part * (y1 - y0));
        if is_curve {
            x = x0.max(x1) + 24.0 + width / 2.0;
        }
        // A level arrow has its label above it.
        let beside = if (y1 - y0).abs() < 1.0 { [-9.0, 9.0, 0.0] } else { [0.0, -9.0, 9.0] };
        for above in beside {
            places.push(Rect {
                x: x - width / 2.0,
                y: y + above - HEIGHT / 2.0,
                width,
                height: HEIGHT,
            });
        }
    }
    places
}
