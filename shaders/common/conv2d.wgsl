// What the convolution kernels share: their uniform struct and the arithmetic of windows.

struct Uniform {
    n: u32,
    c: u32,
    h: u32,
    w: u32,
    k: u32,
    r: u32,
    stride: u32,
    pad: u32,
    p: u32,
    q: u32,
    biased: u32,
    relu: u32,
    masked: u32,
    pixels_per_split: u32,
    first_image: u32,
    images: u32,
}

// Where part `split` of a filter gradient keeps row k, column (c,r,s), or, behind all rows, the bias gradient, if there is
// one: the column after the last one.
fn partial_at(u: Uniform, split: u32, k: u32, column: u32) -> u32 {
    let terms = u.c * u.r * u.r;
    return split * u.k * (terms + u.biased) + select(k * terms + column, u.k * terms + k, column == terms);
}

// An input position and whether it lies inside the image.
struct Tap {
    at: u32,
    inside: bool,
}

// Input pixel h*W + w that filter tap (r, s) of output pixel (p, q) reads.
fn input_tap(u: Uniform, p: u32, q: u32, r: u32, s: u32) -> Tap {
    // Below zero wraps round to huge, so one comparison tests both ends.
    let h = p * u.stride + r - u.pad;
    let w = q * u.stride + s - u.pad;
    let inside = h < u.h && w < u.w;
    return Tap(select(0u, h * u.w + w, inside), inside);
}

// Output pixel p*Q + q that reads input pixel (h, w) through filter tap (r, s).
fn output_tap(u: Uniform, h: u32, w: u32, r: u32, s: u32) -> Tap {
    let y = h + u.pad - r;
    let x = w + u.pad - s;
    let p = y / u.stride;
    let q = x / u.stride;
    let inside = p * u.stride == y && q * u.stride == x && p < u.p && q < u.q;
    return Tap(select(0u, p * u.q + q, inside), inside);
}

// Four taps at once.
struct Tap4 {
    at: vec4u,
    inside: vec4<bool>,
}

fn input_tap4(u: Uniform, p: vec4u, q: vec4u, r: vec4u, s: vec4u) -> Tap4 {
    let h = p * u.stride + r - u.pad;
    let w = q * u.stride + s - u.pad;
    let inside = (h < vec4u(u.h)) & (w < vec4u(u.w));
    return Tap4(select(vec4u(0u), h * u.w + w, inside), inside);
}

fn output_tap4(u: Uniform, h: vec4u, w: vec4u, r: u32, s: u32) -> Tap4 {
    let y = h + u.pad - r;
    let x = w + u.pad - s;
    let p = y / u.stride;
    let q = x / u.stride;
    let inside = (p * u.stride == y) & (q * u.stride == x) & (p < vec4u(u.p)) & (q < vec4u(u.q));
    return Tap4(select(vec4u(0u), p * u.q + q, inside), inside);
}
