//! Tests of the heat maps.

use super::*;

fn network(classes: usize) -> Network {
    Network {
        classes: (0..classes).map(|l| format!("class {l}")).collect(),
        image: [1, 28, 28],
        input: [56, 56],
        map: [4, 6],
        // Centres at 4, 12, 20, … of the 56 pixels of the input.
        grid: MapGrid {
            first: [4.0; 2],
            step: [8.0; 2],
        },
    }
}

/// A black picture of class 1, whose map is hot at `(row, column)`.
fn seen(network: &Network, row: usize, column: usize) -> Seen {
    let classes = network.classes.len();
    let [height, width] = network.map;
    let mut maps = vec![0.0; classes * height * width];
    maps[height * width + row * width + column] = 3.0;
    let mut probabilities = vec![0.1 / (classes - 1) as f32; classes];
    probabilities[1] = 0.9;
    Seen {
        name: "picture.png".into(),
        pixels: vec![0; 28 * 28],
        probabilities,
        maps,
    }
}

/// The lightest pixel of a part of a picture, relative to the part's corner.
fn lightest(
    picture: &RgbImage,
    (left, top): (u32, u32),
    (width, height): (u32, u32),
) -> (u32, u32) {
    let sum = |x: u32, y: u32| -> u32 {
        let Rgb(pixel) = *picture.get_pixel(left + x, top + y);
        pixel.iter().map(|&value| u32::from(value)).sum()
    };
    let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    all.max_by_key(|&(x, y)| sum(x, y)).expect("not empty")
}

#[test]
fn the_hot_pixel_lies_where_the_map_is_highest() {
    let network = network(3);
    for (row, column) in [(0, 0), (1, 4), (3, 2), (2, 5)] {
        let picture = predicted(&network, &[seen(&network, row, column)]).expect("fits");
        // 28 pixels eightfold.
        let side = 224;
        let corner = (MARGIN + side + GAP, MARGIN + CAPTION);
        let (x, y) = lightest(&picture, corner, (side, side));
        // A pixel of the input takes 4 of the picture; its centre is half of that further.
        let centre = |cell: usize| (4 + 8 * cell as u32) * 4 + 2;
        // Beyond the outer centres the map stays as it is there: at the edges only one side is known.
        let near = |got: u32, cell: usize, cells: usize| {
            got.abs_diff(centre(cell)) <= 2
                || (cell == 0 && got < centre(cell))
                || (cell == cells - 1 && got > centre(cell))
        };
        assert!(
            near(x, column, 6) && near(y, row, 4),
            "{row},{column} at {x},{y}"
        );
        // The picture beside it is still black.
        let input = picture.get_pixel(MARGIN + 100, MARGIN + CAPTION + 100);
        assert_eq!(*input, Rgb([0; 3]));
    }
}

#[test]
fn a_picture_has_a_row_and_a_class_has_a_place() {
    let network = network(10);
    let one = seen(&network, 1, 1);
    let rows = |n: usize| predicted(&network, &vec![one.clone(); n]).expect("fits");
    let (first, third) = (rows(1), rows(3));
    assert_eq!(first.width(), 2 * MARGIN + 2 * 224 + GAP);
    assert_eq!(third.width(), first.width());
    let row = CAPTION + 224 + MARGIN;
    assert_eq!(third.height() - first.height(), 2 * row);

    let all = all_classes(&network, &[one]).expect("fits");
    let cell = 196 + GAP;
    assert_eq!(all.width(), 2 * MARGIN + 6 * cell);
    let line = CAPTION + 196 + GAP;
    assert_eq!(all.height(), MARGIN + 2 * line + MARGIN + CAPTION);
    // Class 1 is the second of its line and the only one that is hot.
    let light = lightest(
        &all,
        (MARGIN + cell + GAP + cell, MARGIN + CAPTION),
        (196, 196),
    );
    assert!(light.0.abs_diff(12 * 196 / 56) <= 4, "{light:?}");
}

#[test]
fn a_dead_map_and_colours_are_drawn_too() {
    let mut network = network(2);
    network.image = [3, 40, 20];
    network.map = [1, 1];
    let picture = Seen {
        name: "a name that is too long for the width of a picture".into(),
        pixels: [[255; 800], [0; 800], [0; 800]].concat(),
        probabilities: vec![0.5, 0.5],
        maps: vec![0.0; 2],
    };
    let drawn = predicted(&network, &[picture]).expect("fits");
    let input = *drawn.get_pixel(MARGIN + 9, MARGIN + CAPTION + 9);
    assert_eq!(input, Rgb([255, 0, 0]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = network(3);
    let good = seen(&network, 0, 0);
    let mut short = good.clone();
    short.maps.pop();
    let error = predicted(&network, &[good.clone(), short]).expect_err("too short");
    assert_eq!(
        error.to_string(),
        "elements of maps of `picture.png`: got 71, expected 72"
    );
    assert!(all_classes(&network, &[]).is_err());
    assert!(all_classes(&network, &vec![good; MOST + 1]).is_err());
}
