// Indices of elementwise kernels: one invocation per element, workgroups folded over y (plan/lowering.rs).

const WORKGROUP: u32 = 64;

fn linear(workgroup: vec3u, workgroups: vec3u, local: u32) -> u32 {
    return (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local;
}
