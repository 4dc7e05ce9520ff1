// A register tile of 8 rows x 4 columns, and what the GEMM kernels do with it.

// Named members: an array indexed in a loop may go to memory.
struct Micro {
    r0: vec4f,
    r1: vec4f,
    r2: vec4f,
    r3: vec4f,
    r4: vec4f,
    r5: vec4f,
    r6: vec4f,
    r7: vec4f,
}

// Adds the outer product of 8 elements of a column, `low` and `high`, with 4 of a row.
fn add_product(sums: ptr<function, Micro>, low: vec4f, high: vec4f, columns: vec4f) {
    (*sums).r0 += low.x * columns;
    (*sums).r1 += low.y * columns;
    (*sums).r2 += low.z * columns;
    (*sums).r3 += low.w * columns;
    (*sums).r4 += high.x * columns;
    (*sums).r5 += high.y * columns;
    (*sums).r6 += high.z * columns;
    (*sums).r7 += high.w * columns;
}

fn row(sums: Micro, i: u32) -> vec4f {
    switch i {
        case 0u: { return sums.r0; }
        case 1u: { return sums.r1; }
        case 2u: { return sums.r2; }
        case 3u: { return sums.r3; }
        case 4u: { return sums.r4; }
        case 5u: { return sums.r5; }
        case 6u: { return sums.r6; }
        default: { return sums.r7; }
    }
}
