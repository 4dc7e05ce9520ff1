//! Meaning of [`crate::ops::Concat`] and its gradient.

/// Copies the images of `x`, `block` elements each, to element `first` of those of `y`, `stride` elements each.
pub(crate) fn forward<T: Copy>([block, stride, first]: [usize; 3], x: &[T], y: &mut [T]) {
    for (x, y) in x.chunks(block).zip(y.chunks_mut(stride)) {
        y[first..first + block].copy_from_slice(x);
    }
}

/// Copies them back: `dx` is a part of `dy`.
pub(crate) fn backward<T: Copy>([block, stride, first]: [usize; 3], dy: &[T], dx: &mut [T]) {
    for (dx, dy) in dx.chunks_mut(block).zip(dy.chunks(stride)) {
        dx.copy_from_slice(&dy[first..first + block]);
    }
}
