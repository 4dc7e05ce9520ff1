//! Counter-based random numbers, the same on host and device (`shaders/common/rng.wgsl`).

/// Four random words from a counter of four: `pcg4d` of Jarzynski and Olano, "Hash Functions for GPU Rendering",
/// JCGT 9(3), 2020.
pub fn pcg4d(counter: [u32; 4]) -> [u32; 4] {
    let scaled = counter.map(|word| word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    mix_words(mix_words(scaled).map(|word| word ^ (word >> 16)))
}

fn mix_words([mut x, mut y, mut z, mut w]: [u32; 4]) -> [u32; 4] {
    x = x.wrapping_add(y.wrapping_mul(w));
    y = y.wrapping_add(z.wrapping_mul(x));
    z = z.wrapping_add(x.wrapping_mul(y));
    w = w.wrapping_add(y.wrapping_mul(z));
    [x, y, z, w]
}

/// `len` numbers in -0.5..0.5, the same for the same `stream`.
pub(crate) fn floats(stream: u32, len: usize) -> Vec<f32> {
    let quads = (0..len.div_ceil(4) as u32).flat_map(|i| pcg4d([i, stream, 0, 0]));
    quads
        .take(len)
        .map(|word| (word >> 8) as f32 / (1 << 24) as f32 - 0.5)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_uniform_and_depend_on_every_counter() {
        let mean = (0..10_000)
            .map(|i| f64::from(pcg4d([i, 3, 5, 7])[0]))
            .sum::<f64>()
            / 10_000.0;
        assert!((mean / 2f64.powi(32) - 0.5).abs() < 0.01, "mean {mean}");
        let base = pcg4d([1, 2, 3, 4]);
        for i in 0..4 {
            let mut counter = [1, 2, 3, 4];
            counter[i] += 1;
            assert_ne!(pcg4d(counter)[0], base[0], "counter {i}");
        }
    }
}
