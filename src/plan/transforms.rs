//! The matrices of Winograd's convolutions as WGSL: what their shaders import from `package::variant`.

use std::fmt::Write;

use crate::ops::winograd::{Matrices, Matrix, Minimal};

/// A nested transform of a tile: `matrix tile matrixᵀ`.
struct Nested<'a> {
    name: &'a str,
    matrix: Matrix,
    /// Whether it takes what there is at each point, else it yields that.
    of_points: bool,
    /// Where the functions lie that get an element and put one: by its row and column, or by its point.
    shader: &'a str,
    /// The function that gets, and what it gets from: a type.
    get: [&'a str; 2],
    /// The function that puts, and where to: a type.
    put: [&'a str; 2],
}

fn transposed(matrix: &Matrix) -> Matrix {
    let columns = 0..matrix[0].len();
    columns
        .map(|j| matrix.iter().map(|row| row[j]).collect())
        .collect()
}

/// The constants and functions of F(m, r). Everything is written out: an array that a loop indexes may go to memory.
///
/// Points are numbered column by column in both directions, since each of the two passes over a tile transposes it.
pub(super) fn wgsl(of: Minimal) -> String {
    let Matrices {
        input,
        filter,
        output,
    } = of.matrices();
    let to_points = |name, matrix, get, put| Nested {
        name,
        matrix,
        of_points: false,
        shader: "conv2d_winograd_in",
        get,
        put: [put, "u32"],
    };
    let of_points = |name, matrix, put| Nested {
        name,
        matrix,
        of_points: true,
        shader: "conv2d_winograd_out",
        get: ["product_at", "u32"],
        put,
    };
    let tiles = "package::conv2d_winograd_in::Source";
    let filters = "package::conv2d_winograd_in::Filter";
    let outputs = "package::conv2d_winograd_out::Output";
    let nested = [
        to_points("filter", filter.clone(), ["filter_at", filters], "put_a"),
        to_points(
            "gradient",
            transposed(&output),
            ["gradient_at", tiles],
            "put_a",
        ),
        to_points("input", input, ["input_at", tiles], "put_b"),
        of_points("output", output, ["put_output", outputs]),
        of_points(
            "filter_gradient",
            transposed(&filter),
            ["put_filter_gradient", "u32"],
        ),
    ];
    let Minimal { m, r } = of;
    let mut text = format!(
        "const M = {m}u;\nconst R = {r}u;\nconst ALPHA = {}u;\n",
        of.alpha()
    );
    for nested in nested {
        text.push_str(&nested.line());
        text.push_str(&nested.tile());
    }
    text
}

/// `get(from, 0u), get(from, 1u)`, say.
fn list(n: usize, item: impl Fn(usize) -> String) -> String {
    let items: Vec<String> = (0..n).map(item).collect();
    items.join(", ")
}

impl Nested<'_> {
    /// The function that applies the matrix to a vector.
    fn line(&self) -> String {
        let Self { name, matrix, .. } = self;
        let (n, m) = (matrix[0].len(), matrix.len());
        let rows = list(m, |i| sum(&matrix[i]));
        format!(
            "fn {name}_line(x: array<f32, {n}>) -> array<f32, {m}> {{ return array<f32, {m}>({rows}); }}\n"
        )
    }

    /// The function that applies it to a tile's rows, then to its columns.
    fn tile(&self) -> String {
        let Self {
            name,
            matrix,
            shader,
            get: [get, from],
            put: [put, to],
            ..
        } = self;
        let (n, m) = (matrix[0].len(), matrix.len());
        let place = |is_point: bool, side: usize, line: usize, i: usize| match is_point {
            true => format!("{}u", line * side + i),
            false => format!("{line}u, {i}u"),
        };
        let mut lines = vec![format!("fn {name}_tile(source: {from}, to: {to}) {{")];
        for i in 0..n {
            let elements = list(n, |j| {
                let from = place(self.of_points, n, i, j);
                format!("package::{shader}::{get}(source, {from})")
            });
            lines.push(format!(
                "    let r{i} = {name}_line(array<f32, {n}>({elements}));"
            ));
        }
        for j in 0..m {
            let elements = list(n, |i| format!("r{i}[{j}]"));
            lines.push(format!(
                "    let c{j} = {name}_line(array<f32, {n}>({elements}));"
            ));
            lines.extend((0..m).map(|i| {
                let to = place(!self.of_points, m, j, i);
                format!("    package::{shader}::{put}(to, {to}, c{j}[{i}]);")
            }));
        }
        lines.push("}\n".to_owned());
        lines.join("\n")
    }
}

/// A row times `x`.
fn sum(row: &[f64]) -> String {
    let mut text = String::new();
    for (i, &coefficient) in row.iter().enumerate().filter(|(_, c)| **c != 0.0) {
        let sign = match (text.is_empty(), coefficient < 0.0) {
            (true, false) => "",
            (true, true) => "-",
            (false, false) => " + ",
            (false, true) => " - ",
        };
        let factor = match coefficient.abs() as f32 {
            1.0 => String::new(),
            factor => format!("{factor:?}f * "),
        };
        // Writing to a string does not fail.
        let _ = write!(text, "{sign}{factor}x[{i}]");
    }
    text
}
