//! A colour map whose lightness rises evenly, so that it reads the same in grey and to the colour-blind.

use image::Rgb;

/// Ten samples of matplotlib's `inferno`, black to light yellow, by Nathaniel J. Smith and Stéfan van der Walt (CC0),
/// <https://bids.github.io/colormap/>.
const INFERNO: [[u8; 3]; 10] = [
    [0x00, 0x00, 0x04],
    [0x1b, 0x0c, 0x41],
    [0x4a, 0x0c, 0x6b],
    [0x78, 0x1c, 0x6d],
    [0xa5, 0x2c, 0x60],
    [0xcf, 0x44, 0x46],
    [0xed, 0x69, 0x25],
    [0xfb, 0x9b, 0x06],
    [0xf7, 0xd1, 0x3d],
    [0xfc, 0xff, 0xa4],
];

/// The colour of `value` in 0..1, linear between the samples.
pub(super) fn inferno(value: f32) -> Rgb<u8> {
    let last = INFERNO.len() - 1;
    let at = value.clamp(0.0, 1.0) * last as f32;
    let low = (at as usize).min(last - 1);
    let (from, to) = (Rgb(INFERNO[low]), Rgb(INFERNO[low + 1]));
    mix(from, to, at - low as f32)
}

/// `part` of `to` over `from`.
pub(super) fn mix(Rgb(from): Rgb<u8>, Rgb(to): Rgb<u8>, part: f32) -> Rgb<u8> {
    let channel = |i: usize| {
        let (from, to) = (f32::from(from[i]), f32::from(to[i]));
        (from + (to - from) * part).round() as u8
    };
    Rgb([0, 1, 2].map(channel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_value_is_always_lighter() {
        let luma = |value: f32| {
            let Rgb([r, g, b]) = inferno(value);
            0.2126 * f32::from(r) + 0.7152 * f32::from(g) + 0.0722 * f32::from(b)
        };
        let lumas: Vec<f32> = (0..=50).map(|i| luma(i as f32 / 50.0)).collect();
        assert!(lumas.windows(2).all(|pair| pair[0] < pair[1]), "{lumas:?}");
        assert_eq!(inferno(-1.0), Rgb(INFERNO[0]));
        assert_eq!(inferno(2.0), Rgb(INFERNO[9]));
    }
}
