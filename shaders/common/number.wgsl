// Telling numbers from what is none (NaN) by their bits: compilers may take it for granted that floats are numbers.

fn is_no_number(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// Of `x < 0` some compilers make max(x, 0), which loses what is no number.
fn is_negative(x: f32) -> bool {
    return bitcast<u32>(x) - 0x80000000u <= 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
