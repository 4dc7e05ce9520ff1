// What the convolution kernels share: their uniform struct and the arithmetic of windows.

// Channels and filters, c and k, are those of one group; a tensor has groups times as many.
struct Uniform {
    n: u32,
    c: u32,
    h: u32,
    w: u32,
    k: u32,
    r: u32,
    s: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    pad_h: u32,
    pad_w: u32,
    p: u32,
    q: u32,
    groups: u32,
    biased: u32,
    relu: u32,
    masked: u32,
    pixels_per_split: u32,
    first_split: u32,
    first_image: u32,
    images: u32,
}

// Where part `split` of a filter gradient keeps row k of all groups, column (c,r,s), or, behind all rows, the bias gradient,
// if there is one: the column after the last one.
fn partial_at(u: Uniform, split: u32, k: u32, column: u32) -> u32 {
    let terms = u.c * u.r * u.s;
    let rows = u.groups * u.k;
    return split * rows * (terms + u.biased) + select(k * terms + column, rows * terms + k, column == terms);
}

// Rows and columns from the first element of a window to element `tap`, in row-major order.
fn tap_offset(u: Uniform, tap: u32) -> vec2u {
    return vec2u(tap / u.s * u.dilation_h, tap % u.s * u.dilation_w);
}

// An input position and whether it lies inside the image.
struct Tap {
    at: u32,
    inside: bool,
}

// Input pixel h*W + w that output pixel (p, q) reads at an offset in its window.
fn input_tap(u: Uniform, p: u32, q: u32, offset: vec2u) -> Tap {
    // Below zero wraps round to huge, so one comparison tests both ends.
    let h = p * u.stride_h + offset.x - u.pad_h;
    let w = q * u.stride_w + offset.y - u.pad_w;
    let inside = h < u.h && w < u.w;
    return Tap(select(0u, h * u.w + w, inside), inside);
}

// Output pixel p*Q + q that reads input pixel (h, w) at an offset in its window.
fn output_tap(u: Uniform, h: u32, w: u32, offset: vec2u) -> Tap {
    let y = h + u.pad_h - offset.x;
    let x = w + u.pad_w - offset.y;
    let p = y / u.stride_h;
    let q = x / u.stride_w;
    let inside = p * u.stride_h == y && q * u.stride_w == x && p < u.p && q < u.q;
    return Tap(select(0u, p * u.q + q, inside), inside);
}

// Four taps at once.
struct Tap4 {
    at: vec4u,
    inside: vec4<bool>,
}

fn input_tap4(u: Uniform, p: vec4u, q: vec4u, down: vec4u, across: vec4u) -> Tap4 {
    let h = p * u.stride_h + down - u.pad_h;
    let w = q * u.stride_w + across - u.pad_w;
    let inside = (h < vec4u(u.h)) & (w < vec4u(u.w));
    return Tap4(select(vec4u(0u), h * u.w + w, inside), inside);
}

fn output_tap4(u: Uniform, h: vec4u, w: vec4u, offset: vec2u) -> Tap4 {
    let y = h + u.pad_h - offset.x;
    let x = w + u.pad_w - offset.y;
    let p = y / u.stride_h;
    let q = x / u.stride_w;
    let inside = (p * u.stride_h == y) & (q * u.stride_w == x) & (p < vec4u(u.p)) & (q < vec4u(u.q));
    return Tap4(select(vec4u(0u), p * u.q + q, inside), inside);
}
