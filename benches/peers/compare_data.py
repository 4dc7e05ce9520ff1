#!/usr/bin/env python3
"""Images/s of random crops of 224x224 out of JPEGs, nin-wgpu and torchvision in turns: compare_data.py FOLDER.

Build first: cargo build --release --example data. Both decode every picture of the folder in each turn, with the same number
of threads (torchvision: of processes). Prints medians and their ratio.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.join(HERE, "../../target/release/examples/data")


def ours(folder, threads, cache):
    """Images/s of two passes over the training part."""
    with tempfile.TemporaryDirectory() as out:
        command = [OURS, folder, "--speed", "--workers", str(threads), "--out", os.path.join(out, "sheet.png")]
        if cache:
            command += ["--cache", os.path.join(out, "cache")]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(rate) for rate in re.findall(r"(\d+) images/s", text)]


def main():
    flags = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    flags.add_argument("folder")
    flags.add_argument("--threads", type=int, default=2)
    flags.add_argument("--turns", type=int, default=5)
    flags.add_argument("--python", default=sys.executable, help="one that has torchvision")
    args = flags.parse_args()
    peer = subprocess.Popen([args.python, os.path.join(HERE, "run_torchvision.py"), args.folder, "--threads",
                             str(args.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    version = json.loads(peer.stdout.readline())["peer"]
    rates = {"decoded": [], "with a cache, first pass": [], "from the cache": [], version: []}
    for turn in range(args.turns + 1):
        peer.stdin.write("1\n")
        peer.stdin.flush()
        theirs = json.loads(peer.stdout.readline())["images_per_second"]
        decoded = ours(args.folder, args.threads, False)
        cached = ours(args.folder, args.threads, True)
        if turn == 0:  # to get warm
            continue
        rates[version].append(theirs)
        rates["decoded"] += decoded
        rates["with a cache, first pass"].append(cached[0])
        rates["from the cache"].append(cached[1])
    peer.stdin.close()
    medians = {name: statistics.median(of) for name, of in rates.items()}
    for name, median in medians.items():
        spread = f"{min(rates[name]):.0f} to {max(rates[name]):.0f}"
        print(f"{name:<40} {median:7.0f} images/s  ({spread})  {median / medians[version]:.2f}")


if __name__ == "__main__":
    main()
