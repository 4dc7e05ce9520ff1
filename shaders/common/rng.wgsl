// Counter-based random numbers: pcg4d of Jarzynski and Olano, JCGT 9(3), 2020. The same as src/graph/rng.rs.

fn mix_words(v: vec4u) -> vec4u {
    var r = v;
    r.x += r.y * r.w;
    r.y += r.z * r.x;
    r.z += r.x * r.y;
    r.w += r.y * r.z;
    return r;
}

fn pcg4d(counter: vec4u) -> vec4u {
    let first = mix_words(counter * 1664525u + 1013904223u);
    return mix_words(first ^ (first >> vec4u(16u)));
}
