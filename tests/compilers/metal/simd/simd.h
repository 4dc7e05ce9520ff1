// All that the kernels take from Metal is in metal_stdlib.
