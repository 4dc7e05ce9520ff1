#!/usr/bin/env python3
"""Run the same networks in this project and its peers, in turns, and print a Markdown table.

    benches/peers/compare.py --python venv/bin/python cpu/train/16 software/forward/1

A row is DEVICE/WHAT/BATCH[/MODEL]: `cpu`, `software`, `gpu` or `gpu:N`; `forward` or `train`; images of a batch; `nin`,
`vgg11` (both at 224x224) or `resnet18` (at 32x32). Programs that
are not installed are left out, with a word. The logits of all, and of a training step the losses, must agree before
anything is timed.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = ["cpu/forward/1", "cpu/forward/16", "cpu/train/1", "cpu/train/16", "software/forward/1"]
# Part of the largest value by which two programs may differ: at first, and after two updates, where a gradient that is
# only rounding may have moved a weight the other way.
TOLERANCE, TOLERANCE_UPDATED = 1e-3, 1e-2
TURN_SECONDS, PAUSE_SECONDS = 0.5, 0.2


def say(text):
    print(text, file=sys.stderr, flush=True)


class Program:
    """A peer that runs: started, introduced, and ready to take turns."""

    def __init__(self, command, scratch, limit):
        # Caches of shaders and of tuning start empty, and nobody else's are touched.
        env = dict(os.environ, XDG_CACHE_HOME=str(scratch), __GL_SHADER_DISK_CACHE_PATH=str(scratch))
        self.log = scratch / "stderr"
        start = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], cwd=scratch, env=env, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        watch = threading.Timer(limit, self.process.kill)
        watch.start()
        try:
            self.header = self.read()
        finally:
            watch.cancel()
        self.first = time.perf_counter() - start
        self.values = self.header.pop("values")
        self.seconds = []

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            lines = self.log.read_text().strip().splitlines() or ["no message"]
            raise RuntimeError(f"ended with {code}: {lines[-1]}")
        return json.loads(line)

    def turn(self, runs):
        print(runs, file=self.process.stdin, flush=True)
        answer = self.read()
        self.values = answer["values"]
        return answer["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Commands:
    """The command of each program for a row, or why there is none."""

    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.ours = args.binary("ours", "peer-ours")
        self.weights = args.weights

    def all(self, device, what, batch, model):
        """(name, command or None, why not) of each, ours first."""
        folder = self.scratch / model
        common = ["--" + what, "--batch", batch, "--device", device, "--images", folder / "images.safetensors", "--model", model]
        weights = ["--weights", self.weights or folder / "weights.safetensors"]
        yield "nin-wgpu", [self.ours, *common, *weights], None
        if device != "cpu":
            for program in self.args.burn or [self.args.binary("burn", "peer-burn")]:
                there = Path(program).exists() and model != "vgg11"
                yield "burn", [program, *common, *weights] if there else None, "not built, or not this network"
            # Neither is told which adapter to take: where there are several, each takes its own first one.
            program = self.args.meganeura or self.args.binary("meganeura", "peer-meganeura")
            # Its gradient of max pools is another one: after a step its logits are no longer the others'.
            there = Path(program).exists() and model == "nin" and what == "forward"
            yield "meganeura", [program, *common, *weights] if there else None, "not built, or not this row"
            command = self.python("run_pytorch.py", "torchvulkan", "--vulkan", *common, *weights)
            yield "torchvulkan", command, "not installed"
        if device != "software":
            yield "PyTorch", self.python("run_pytorch.py", "torch", *common, *weights), "not installed"
        if device == "cpu" and what == "forward" and self.has("onnxruntime"):
            command = self.python("run_onnxruntime.py", "onnxruntime", *common, "--weights",
                                  self.onnx(batch, model, folder / "images.safetensors", weights))
            yield "onnxruntime", command if self.has("onnxscript") else None, "not installed, or onnxscript is not"

    def has(self, module):
        code = f"import importlib.util as u, sys; sys.exit(u.find_spec('{module}') is None)"
        return subprocess.run([self.args.python, "-c", code], check=False).returncode == 0

    def python(self, script, module, *flags):
        return [self.args.python, HERE / script, *flags] if self.has(module) else None

    def onnx(self, batch, model, images, weights):
        """The network as an ONNX file for one size of batch, made once."""
        path = self.scratch / f"{model}-{batch}.onnx"
        export = self.python("run_pytorch.py", "torch", "--forward", "--batch", batch, "--images", images, "--model", model,
                             *weights, "--export", path)
        if export and not path.exists() and self.has("onnxscript"):
            subprocess.run([str(part) for part in export], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        return path


def binary(built, package, name):
    """Where a program lies: in the folder `built`, if there is one, else where cargo leaves it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE / package / "target"))
    return (built or target / "release").resolve() / (name + (".exe" if os.name == "nt" else ""))


def check(ours, theirs, tolerance):
    """Raises unless the values of two programs agree."""
    a, b = ours.values, theirs.values
    who = f"{theirs.header['peer']} and nin-wgpu"
    if len(a) != len(b):
        raise SystemExit(f"{who} give {len(b)} and {len(a)} values: nothing is timed")
    largest, differences = max(map(abs, a)), [abs(x - y) for x, y in zip(a, b)]
    difference = max(differences)
    # Every single one: `max` may pass over NaN.
    if not all(d <= tolerance * largest for d in differences):
        raise SystemExit(f"{who} disagree by {difference:.3e} at values up to {largest:.3e}: nothing is timed")
    say(f"  {who} differ by {difference:.1e} at values up to {largest:.1e}")


def start(commands, row, scratch, limit):
    """Starts each program of a row twice, with an empty cache and with what it then left there; keeps the second."""
    programs = []
    for name, command, why in commands.all(*row):
        if command is None:
            say(f"  {name}: {why}, left out")
            continue
        folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            cold = Program(command, folder, limit)
            cold.close()
            program = Program(command, folder, limit)
        except RuntimeError as error:
            say(f"  {name}: {error}, left out")
            if not programs:
                raise SystemExit("without this project's own program there is nothing to compare") from None
            continue
        program.cold = cold.first
        say(f"  {program.header['peer']}: first result after {cold.first:.2f} s, started again {program.first:.2f} s")
        programs.append(program)
    return programs


def measure(commands, row, args, scratch):
    """The programs of a row with their seconds."""
    say("/".join(map(str, row)))
    programs = start(commands, row, scratch, args.limit)
    for other in programs[1:]:
        check(programs[0], other, TOLERANCE)
    runs = []
    for program in programs:
        last = program.turn(2)[-1]
        runs.append(min(max(round(TURN_SECONDS / last), 1), 50))
    for other in programs[1:]:
        check(programs[0], other, TOLERANCE_UPDATED if row[1] == "train" else TOLERANCE)
    for number in range(1, args.rounds + 1):
        say(f"  round {number} of {args.rounds}")
        for program, count in zip(programs, runs):
            time.sleep(PAUSE_SECONDS)
            program.seconds += program.turn(count)
    for program in programs:
        program.close()
    return programs


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def span(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def report(rows, args, out):
    """The table."""
    describe = ["git", "describe", "--always", "--dirty"]
    commit = shutil.which("git") and subprocess.run(describe, cwd=HERE, text=True, capture_output=True, check=False).stdout.strip()
    print(f"{processor()}, {os.cpu_count()} threads; nin-wgpu at {commit or 'an unknown commit'}; "
          f"medians of {args.rounds} turns; load average at the start {args.load}\n", file=out)
    print("| device | what | batch | network | program | first result | started again | median | against nin-wgpu |", file=out)
    print("|---|---|---|---|---|---|---|---|---|", file=out)
    for (device, what, batch, model), programs in rows:
        base = statistics.median(programs[0].seconds)
        for program in programs:
            median = statistics.median(program.seconds)
            name = f"{program.header['peer']} {program.header['version']}"
            print(f"| {device} | {what} | {batch} | {model} | {name} | {program.cold:.2f} s | {program.first:.2f} s "
                  f"| {span(median)} | {median / base:.2f} |", file=out)
    print("\nAdapters, as each program names its own:\n", file=out)
    seen = {(row[0], p.header["peer"]): p.header["adapter"] for row, programs in rows for p in programs}
    for (device, peer), adapter in seen.items():
        print(f"- {device}, {peer}: {adapter}", file=out)


def parse_row(text):
    device, what, batch, *model = text.split("/")
    model = model[0] if model else "nin"
    if what not in ("forward", "train") or model not in ("nin", "vgg11", "resnet18"):
        raise ValueError
    return device, what, int(batch), model


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("rows", nargs="*", type=parse_row, metavar="DEVICE/WHAT/BATCH[/MODEL]",
                       help="default: " + " ".join(ROWS))
    flags.add_argument("--rounds", type=int, default=7, help="turns of each program")
    flags.add_argument("--limit", type=float, default=900, help="seconds to wait for a first result")
    flags.add_argument("--python", default=sys.executable,
                       help="one that has torch, safetensors, onnxruntime, onnxscript")
    flags.add_argument("--burn", action="append", metavar="PROGRAM", help="peer-burn, if elsewhere; may be repeated")
    flags.add_argument("--meganeura", metavar="PROGRAM", help="peer-meganeura, if elsewhere")
    flags.add_argument("--built", type=Path, metavar="DIR", help="folder of our peer-ours and export, which are then not built")
    flags.add_argument("--weights", type=Path, help="a checkpoint of the network; default: initial parameters")
    flags.add_argument("--json", type=Path, help="write the measurements, one a line")
    args = flags.parse_args()
    args.binary = partial(binary, args.built)
    args.rows = args.rows or [parse_row(row) for row in ROWS]

    args.load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"

    if not args.built:
        manifest = HERE / "ours" / "Cargo.toml"
        subprocess.run(["cargo", "build", "--release", "--locked", "--manifest-path", str(manifest)], check=True)
    with tempfile.TemporaryDirectory(prefix="nin-peers-", ignore_cleanup_errors=True) as scratch:
        scratch = Path(scratch)
        for model in {model for *_, model in args.rows}:
            batch = max(row[2] for row in args.rows if row[3] == model)
            (scratch / model).mkdir()
            subprocess.run([args.binary("ours", "export"), "--model", model, "--batch", str(batch), scratch / model], check=True)
        args.weights = args.weights and args.weights.resolve()
        commands = Commands(args, scratch)
        rows = [(row, measure(commands, row, args, scratch)) for row in args.rows]
    report(rows, args, sys.stdout)
    if args.json:
        with args.json.open("w") as file:
            for _, programs in rows:
                for program in programs:
                    line = dict(program.header, first_result_s=program.cold, started_again_s=program.first,
                                median_s=statistics.median(program.seconds), seconds=program.seconds)
                    print(json.dumps(line), file=file)


if __name__ == "__main__":
    main()
