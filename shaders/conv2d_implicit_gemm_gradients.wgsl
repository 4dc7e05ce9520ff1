// Both gradients of a convolution in one dispatch, since neither waits for the other: so the last workgroups of one do not have a
// device to themselves, and it waits once less.
//   gradients: wgrad of conv2d_implicit_gemm_wgrad.wgsl, then dgrad of conv2d_implicit_gemm.wgsl, with their bindings
// Reference: src/reference/conv2d.rs

join gradients = package::conv2d_implicit_gemm_wgrad::wgrad, package::conv2d_implicit_gemm::dgrad;
