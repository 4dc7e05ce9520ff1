#!/usr/bin/env python3
"""Loads a folder of photos as PyTorch users do: run_torchvision.py FOLDER prints images/s of random crops of 224x224.

torchvision's RandomResizedCrop and mirror over Pillow, batches of bytes, DataLoader with as many workers as threads. Reads a
number from each line of standard input and makes so many passes, as the other peers do; without any, three.
"""
import argparse
import json
import sys
import time

import PIL
import torch
import torchvision
from torchvision import transforms


def main():
    flags = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    flags.add_argument("folder")
    flags.add_argument("--threads", type=int, default=2)
    flags.add_argument("--batch", type=int, default=32)
    args = flags.parse_args()
    torch.set_num_threads(1)
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    data = torchvision.datasets.ImageFolder(args.folder, transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(data, args.batch, shuffle=True, num_workers=args.threads,
                                         persistent_workers=True)
    version = f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
    print(json.dumps({"peer": version, "images": len(data)}), flush=True)
    for line in sys.stdin if not sys.stdin.isatty() else "111":
        for _ in range(int(line)):
            start = time.perf_counter()
            count = sum(len(labels) for _, labels in loader)
            seconds = time.perf_counter() - start
            print(json.dumps({"seconds": seconds, "images_per_second": count / seconds}), flush=True)


if __name__ == "__main__":
    main()
