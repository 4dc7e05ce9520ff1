#!/usr/bin/env python3
"""`nin` in onnxruntime on the CPU, forward only, from the ONNX file that `run_pytorch.py --export` writes."""

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

import turns


def main():
    flags = turns.parser(__doc__)
    args = flags.parse_args()
    if args.train or args.device != "cpu":
        flags.error("onnxruntime only runs --forward on --device cpu here")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.weights, options, providers=["CPUExecutionProvider"])
    images = np.ascontiguousarray(load_file(args.images)["images"][:args.batch])
    last = []

    def forward():
        last[:] = session.run(None, {"images": images})[0].ravel().tolist()

    adapter = f"CPU, {args.threads} threads"
    turns.take_turns("onnxruntime", onnxruntime.__version__, adapter, args, forward, lambda: last)


if __name__ == "__main__":
    main()
