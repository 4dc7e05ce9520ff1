// What the pooling kernels over windows of any kind share: their uniform struct and where windows lie.

struct Uniform {
    maps: u32,
    h: u32,
    w: u32,
    p: u32,
    q: u32,
    window_h: u32,
    window_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    padded_h: u32,
    padded_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    count_include_pad: u32,
    divisor: f32,
    masked: u32,
}

// First and past-the-end output whose window reaches over input position `at`: `extent` positions each, the gaps of its
// dilation among them. Of `size` outputs.
fn covering_range(at: u32, extent: u32, stride: u32, pad: u32, size: u32) -> vec2u {
    let reach = at + pad;
    let first = select(0u, (reach - extent) / stride + 1u, reach >= extent);
    return vec2u(first, min(reach / stride + 1u, size));
}
