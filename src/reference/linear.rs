//! Meaning of [`crate::ops::Linear`] and its gradients: products of matrices over the whole batch. Sizes are `[N,C,K]`.

use super::Real;

/// `to [m, n] = a [m, k] * b [k, n]`, in plain loops.
pub(crate) fn multiply<T: Real>(
    [m, n, k]: [usize; 3],
    (a, [a_row, a_column]): (&[T], [usize; 2]),
    (b, [b_row, b_column]): (&[T], [usize; 2]),
    to: &mut [T],
) {
    for i in 0..m {
        for j in 0..n {
            let terms = (0..k).map(|l| a[i * a_row + l * a_column] * b[l * b_row + j * b_column]);
            to[i * n + j] = terms.sum();
        }
    }
}

pub(crate) fn forward<T: Real>(
    [n, c, k]: [usize; 3],
    relu: bool,
    x: &[T],
    w: &[T],
    b: Option<&[T]>,
    y: &mut [T],
) {
    T::multiply([n, k, c], (x, [c, 1]), (w, [1, c]), y);
    if let Some(b) = b {
        for row in y.chunks_mut(k) {
            for (y, &b) in row.iter_mut().zip(b) {
                *y += b;
            }
        }
    }
    if relu {
        // Not-a-number fails the comparison and passes through.
        for y in y {
            if *y < T::default() {
                *y = T::default();
            }
        }
    }
}

pub(crate) fn dgrad<T: Real>(
    [n, c, k]: [usize; 3],
    dy: &[T],
    w: &[T],
    mask: Option<&[T]>,
    dx: &mut [T],
) {
    T::multiply([n, c, k], (dy, [k, 1]), (w, [c, 1]), dx);
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
}

pub(crate) fn wgrad<T: Real>([n, c, k]: [usize; 3], x: &[T], dy: &[T], dw: &mut [T]) {
    T::multiply([k, c, n], (dy, [1, k]), (x, [c, 1]), dw);
}

pub(crate) fn bias_gradient<T: Real>(dy: &[T], db: &mut [T]) {
    db.fill(T::default());
    for row in dy.chunks(db.len()) {
        for (db, &dy) in db.iter_mut().zip(row) {
            *db += dy;
        }
    }
}
