#!/usr/bin/env python3
"""Tell what became of the foreign test vectors: `report.py FOLDER SUITE... [--write FILE]`.

Reads what the exporters and tests/vectors left in FOLDER. Exits with 1 if a case failed, was not run, or if a suite has fewer
than it should have.
"""

import argparse
import collections
import json
import sys
from pathlib import Path

HEAD = """# What the tests of others say

Made by `scripts/check-vectors`, which fails if a case fails or was not run. Every case is a graph of this library's ops, made
through its public API, fused, and run on the CPU and on an adapter; convolutions and linear layers by every algorithm. In scope
is what works on images `[N,C,H,W]` or matrices `[N,C]` of f32, and functions of one element of any shape.

The adapter: {adapter}.
"""
ABOUT = {
    "onnx": """## ONNX's backend tests

All tests of one node of these ops in {source}: `node`, `pytorch-converted`, `pytorch-operator`. Forward, shapes too; tolerance as
ONNX has it, 1e-3 of each element and 1e-7.
""",
    "opinfo": """## PyTorch's OpInfo samples

All f32 samples of `torch.nn.functional`'s functions in {source}, forward and every gradient, against PyTorch in f64; tolerance
1e-5 of the largest element and 1e-7.
""",
}
# What the versions that are named in check-vectors hold: an export that lost cases is no proof.
LEAST = {"onnx": 147, "opinfo": 1500}


def listed(counter):
    return ", ".join(f"{count} {what}" for what, count in sorted(counter.items()))


def by_op(entries):
    found = collections.defaultdict(collections.Counter)
    for entry in entries:
        found[entry["op"]][entry["reason"]] += 1
    return found


def section(folder, name):
    """The part of the page about a suite, and what is wrong."""
    suite = json.loads((folder / f"{name}.json").read_text())
    outcomes = folder / f"{name}.outcomes.json"
    ran = json.loads(outcomes.read_text()) if outcomes.exists() else {"adapter": None, "outcomes": []}
    failures = {outcome["name"]: outcome["failure"] for outcome in ran["outcomes"]}
    wrong = [f"{name} was not run" for name in (case["name"] for case in suite["cases"]) if name not in failures]
    wrong += [f"{name}: {why}" for name, why in failures.items() if why]
    in_scope = len(suite["cases"]) + len(suite["unsupported"])
    if in_scope < LEAST[name]:
        wrong.append(f"{name}: {in_scope} cases in scope, {LEAST[name]} are known")

    cases = collections.defaultdict(list)
    for case in suite["cases"]:
        cases[case["op"]].append(case)
    out, unsupported = by_op(suite["out_of_scope"]), by_op(suite["unsupported"])
    rows, totals = [], collections.Counter()
    for op in sorted({*cases, *out, *unsupported}):
        passed = sum(failures.get(case["name"], "not run") is None for case in cases[op])
        counts = len(cases[op]) + unsupported[op].total(), passed, out[op].total()
        totals.update(dict(zip("abc", counts)))
        rows.append(f"| {op} | {counts[0]} | {counts[1]} | {listed(out[op])} | {listed(unsupported[op])} |")
    a, b, c = (totals[of] for of in "abc")
    rows.append(f"| **all** | **{a}** | **{b}** ({100 * b / a:.1f} %) | {c} | {len(suite['unsupported'])} |")
    prepared = collections.defaultdict(collections.Counter)
    for case in suite["cases"]:
        for what in filter(None, (case["prepared"] or "").split("; ")):
            prepared[what][case["op"]] += 1
    lines = [ABOUT[name].format(source=suite["source"]),
             "| op | in scope | pass | out of scope | in scope, but cannot be done here |", "|---|---:|---:|---|---|", *rows, "",
             "Rewritten by the exporter before they ran:", "",
             *(f"- {what}: {', '.join(f'{count} {op}' for op, count in sorted(ops.items()))}" for what, ops in sorted(prepared.items())),
             ""]  # fmt: skip
    return "\n".join(lines), ran["adapter"], wrong


def main():
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("folder", type=Path)
    flags.add_argument("suites", nargs="+", choices=LEAST)
    flags.add_argument("--write", type=Path, metavar="FILE", help="where the page goes instead of the screen")
    args = flags.parse_args()
    sections, wrong = [], []
    for name in args.suites:
        text, adapter, found = section(args.folder, name)
        sections.append(text)
        wrong += found
    page = "\n".join([HEAD.format(adapter=adapter or "none, only the CPU"), *sections]).rstrip() + "\n"
    if args.write and not wrong:
        args.write.write_text(page)
    else:
        print(page)
    for line in wrong[:50]:
        print(f"report: {line}", file=sys.stderr)
    if len(wrong) > 50:
        print(f"report: and {len(wrong) - 50} more", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
