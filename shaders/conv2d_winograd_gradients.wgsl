// Both gradients of Winograd's convolution side by side, as conv2d_implicit_gemm_gradients.wgsl has them: each step of both is one
// dispatch.
//   pack:    over_filters, then over_pixels of conv2d_winograd_in.wgsl, with their bindings
//   product: two of conv2d_columns_tiled.wgsl
//   unpack:  over_filters, then over_pixels of conv2d_winograd_out.wgsl
// Reference: src/reference/conv2d.rs

join pack = package::conv2d_winograd_in::over_filters, package::conv2d_winograd_in::over_pixels;
join product = package::conv2d_columns_tiled::product, package::conv2d_columns_tiled::product;
join unpack = package::conv2d_winograd_out::over_filters, package::conv2d_winograd_out::over_pixels;
