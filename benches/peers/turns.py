"""What the peers written in Python share: their flags, and taking turns as `turns.rs` has it."""

import argparse
import json
import os
import sys
import time

# The first step of the warm-up of `nin`.
LEARNING_RATE = 1e-5


def parser(description):
    """The flags of a peer."""
    flags = argparse.ArgumentParser(description=description)
    what = flags.add_mutually_exclusive_group(required=True)
    what.add_argument("--forward", action="store_true", help="the logits of a batch")
    what.add_argument("--train", action="store_true", help="a training step; all are on the same batch")
    flags.add_argument("--model", default="nin", choices=["nin", "vgg11", "resnet18"], help="the network")
    flags.add_argument("--batch", type=int, default=1, help="images of a batch")
    flags.add_argument("--device", default="cpu", help="where to run")
    flags.add_argument("--weights", required=True,
                       help="parameters under PyTorch's names, safetensors; or an ONNX file")
    flags.add_argument("--images", required=True,
                       help="`images` [N,1,H,W] and `labels` [N], of which a batch is the first")
    flags.add_argument("--threads", type=int, default=os.cpu_count(), help="on a CPU")
    return flags


def take_turns(peer, version, adapter, args, run, values):
    """Runs once, says who it is, then runs as often as each line of standard input asks.

    `run` must return only when its result is on the host; `values` gives the logits of the last run and, of a training
    step, its loss.
    """
    run()
    what = "train" if args.train else "forward"
    say(peer=peer, version=version, adapter=adapter, what=what, batch=args.batch, values=values())
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        say(seconds=seconds, values=values())


def say(**line):
    print(json.dumps(line), flush=True)
