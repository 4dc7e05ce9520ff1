//! The flag for a size in pixels.

/// The largest height and width that pictures are brought to.
const MOST: usize = 16_384;

/// Height and width from one number, or from HxW.
pub(crate) fn size(s: &str) -> Result<[usize; 2], String> {
    let [h, w] = match s.split_once('x') {
        Some((h, w)) => [h, w],
        None => [s, s],
    };
    let side = |s: &str| s.parse().ok().filter(|side| (1..=MOST).contains(side));
    match (side(h), side(w)) {
        (Some(h), Some(w)) => Ok([h, w]),
        _ => Err(format!(
            "expected a number of pixels from 1 to {MOST}, such as 224, or HxW"
        )),
    }
}
