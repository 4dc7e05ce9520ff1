#!/usr/bin/env python3
"""Would the tests notice a mistake in the library's Rust code?

Writes a copy of the crate with all mutants at once (src/main.rs), builds it once, sees which test comes by which mutant, and
runs each mutant in the tests that do, the short ones first, until one fails. Nothing is built for a mutant."""

import argparse
import collections
import csv
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
MAKER = pathlib.Path(__file__).resolve().parent
HEADER = ["file", "line", "function", "mistake", "fate", "seconds"]
# What sees mistakes of the library without a device, the trainer or a folder on disk.
TESTS = ["lib", "ops", "gradients", "golden", "norm", "optimizers", "traps", "plan"]
# A test that takes this many seconds longer of the processor's time than it does without a mistake runs for ever.
PATIENCE = 6
# How a process ends that has had its time.
OUT_OF_TIME = -signal.SIGXCPU


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", nargs="+", default=["src/reference", "src/ops"], help="what mistakes are made in")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="test programs; `lib` has the unit tests")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth mutant")
    parser.add_argument("--only", nargs="+", default=[""], help="only those of files whose path holds one of these")
    parser.add_argument("--report", type=pathlib.Path, help="a table (CSV) of what became of each; those that it has are not judged again")
    parser.add_argument("--again", action="store_true", help="judge again those that survived in the report")
    parser.add_argument("--gpu", action="store_true", help="run the tests on the adapter too: what plans kernels is seen by those alone")
    parser.add_argument("--longest", type=int, default=20, help="seconds that a test is waited for; one that takes longer counts only if it fails before")
    parser.add_argument("--most", type=float, default=float("inf"),
                        help="seconds that the tests of a mutant may take together; those that take longest are left out")
    return parser.parse_args()


def command(*words, **kwargs):
    return subprocess.run([str(word) for word in words], text=True, **kwargs)


def copy(tree):
    """The files that git knows, as they are here."""
    shutil.rmtree(tree, ignore_errors=True)
    listed = command("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.splitlines():
        source, to = ROOT / name, tree / name
        if source.is_file():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to)
    # As much is checked at run time as in a release, which the suite is run by.
    manifest = (tree / "Cargo.toml").read_text()
    ours = 'nin-wgpu = { opt-level = 1, debug = false, debug-assertions = false, overflow-checks = false }'
    manifest, found = re.subn(r"^nin-wgpu = \{ opt-level.*$", ours, manifest, flags=re.M)
    if found != 1:
        sys.exit("Cargo.toml: [profile.dev.package] has no line for nin-wgpu any more, which tests/mutants/rust/run.py rewrites")
    (tree / "Cargo.toml").write_text(manifest)


def renew(tree, fresh):
    """Makes a tree what a fresh one is. Files that are so already keep their times, by which cargo goes."""
    names = lambda of: {path.relative_to(of) for path in of.rglob("*") if path.is_file()}
    for name in names(tree) - names(fresh):
        (tree / name).unlink()
    for name in names(fresh):
        to = tree / name
        if not to.exists() or to.read_bytes() != (fresh / name).read_bytes():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(fresh / name, to)


def messages(tree, environment, *words):
    run = command("cargo", *words, "--message-format=json", cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return run.returncode, [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def made(work, folders, environment):
    """A tree with all mutants that the compiler takes: their rows, and how many it refused."""
    tree, fresh, maker = work / "tree", work / "fresh", work / "maker/release/rust-mutants"
    command("cargo", "build", "--release", "-q", "--manifest-path", MAKER / "Cargo.toml",
            env={**environment, "CARGO_TARGET_DIR": str(work / "maker")}, check=True)

    def write(refused):
        copy(fresh)
        (work / "refused").write_text(" ".join(map(str, sorted(refused))))
        files = sorted(str(path.relative_to(fresh)) for folder in folders for path in (fresh / folder).rglob("*.rs")
                       if path.name != "tests.rs")
        return command(maker, fresh, work / "refused", *files, capture_output=True, check=True).stdout

    # Of the same mutants the compiler refuses the same ones as the last time.
    kept, digest = work / "refused.json", hashlib.sha256(write([]).encode()).hexdigest()
    last = json.loads(kept.read_text()) if kept.exists() else {}
    refused = set(last["refused"]) if last.get("of") == digest else set()
    while True:
        listed = write(refused)
        renew(tree, fresh)
        code, said = messages(tree, environment, "check", "--lib")
        if code == 0:
            kept.write_text(json.dumps({"of": digest, "refused": sorted(refused)}))
            return [line.split("\t") for line in listed.splitlines()], len(refused)
        before = len(refused)
        for message in said:
            message = message.get("message") or {}
            if message.get("level") == "error":
                for span in message["spans"]:
                    if span["is_primary"]:
                        refused |= near(tree / span["file_name"], span["line_start"], span["line_end"])
        print(f"{len(refused)} mutants do not compile", file=sys.stderr)
        if len(refused) == before:
            sys.exit("the tree with mutants does not compile:\n" + "\n".join(
                (m.get("message") or {}).get("rendered") or "" for m in said)[:4000])


def near(path, start, end):
    """The mutants around lines of a file: those in them, else the ones of the match that they are part of."""
    lines = path.read_text().splitlines()
    numbers = lambda a, b: {int(n) for line in lines[max(a, 0):b] for n in re.findall(r"mutation::active\((\d+)u32\)", line)}
    for reach in range(0, 40, 2):
        found = numbers(start - 1 - reach, end + reach)
        if found:
            return found
    return set()


def limited(seconds):
    return lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def run(program, test, environment, seconds, tree, **more):
    """The exit status of one test, and how long it took the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([program, "--exact", test, "--test-threads=1"], env={**environment, **more}, cwd=tree,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=limited(seconds))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ran.returncode, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def passed(program, environment, work, longest):
    """Of each test of a program the seconds that it takes, whether it is not waited for, and the mutants that it comes by."""
    to, of = work / f"reached.{os.getpid()}", {}
    listed = command(program, "--list", "--format", "terse", cwd=work / "tree", env=environment, capture_output=True, check=True).stdout
    for test in [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]:
        to.unlink(missing_ok=True)
        status, seconds = run(program, test, environment, longest, work / "tree", NIN_REACHED=str(to))
        if status not in (0, OUT_OF_TIME):
            print(f"left out, since it fails without any mistake: {test}", file=sys.stderr)
            continue
        of[test] = [seconds, status == OUT_OF_TIME, to.read_text().split() if to.exists() else []]
    to.unlink(missing_ok=True)
    return of


def coverage(programs, environment, work, longest):
    """By mutant the tests that come by it; the seconds that each takes; and those that are not waited for, of which what they
    come by before counts, and that they fail. What a program of the same bytes said the last time holds."""
    reached, took, long = collections.defaultdict(list), {}, set()
    for program in programs:
        of = hashlib.sha256(pathlib.Path(program).read_bytes() + f"{longest} {environment.get('NIN_TEST_GPU')}".encode()).hexdigest()
        kept = work / "passed" / f"{of}.json"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps(passed(program, environment, work, longest)))
        for test, (seconds, is_long, numbers) in json.loads(kept.read_text()).items():
            took[program, test] = seconds
            if is_long:
                long.add((program, test))
            for number in numbers:
                reached[number].append((program, test))
    return reached, took, long


def main():
    args = arguments()
    work = ROOT / "target/mutants"
    work.mkdir(parents=True, exist_ok=True)
    tree = work / "tree"
    environment = {**os.environ, "CARGO_TARGET_DIR": str(work), "RAYON_NUM_THREADS": "1", "LP_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
    if not args.gpu:
        environment["NIN_TEST_GPU"] = "off"
    rows, refused = made(work, args.folders, environment)
    print(f"{len(rows)} mutants, {refused} that do not compile", file=sys.stderr)
    targets = [word for test in args.tests for word in (["--lib"] if test == "lib" else ["--test", test])]
    code, said = messages(tree, environment, "test", "--no-run", *targets)
    programs = [m["executable"] for m in said if m.get("reason") == "compiler-artifact" and m.get("executable") and m["profile"]["test"]]
    if code != 0 or len(programs) != len(args.tests):
        errors = [m["message"]["rendered"] for m in said if (m.get("message") or {}).get("level") == "error"]
        sys.exit("the tests do not build with the mutants:\n" + "\n".join(errors)[:4000])

    reached, took, long = coverage(programs, environment, work, args.longest)
    print(f"{len(took)} tests, {sum(took.values()):.0f} s", file=sys.stderr)

    known = {}
    if args.report and args.report.exists():
        rows_of = list(csv.reader(args.report.open()))[1:]
        open_ones = {tuple(row[:4]) for row in rows_of if args.again and row[4].startswith("survived")}
        known = {tuple(row[:4]): row for row in rows_of if tuple(row[:4]) not in open_ones}
    table = args.report.open("w") if args.report else open(os.devnull, "w")
    writer = csv.writer(table)
    writer.writerows([HEADER, *known.values()])
    table.flush()
    counts = collections.defaultdict(collections.Counter)
    survivors = []
    chosen = [row for row in rows if any(of in row[1] for of in args.only)][::args.every]
    # What is known when it is stopped is of all files.
    random.Random(0).shuffle(chosen)
    start, judged = time.time(), 0
    for done, (number, *name) in enumerate(chosen, 1):
        row = known.get(tuple(name))
        if row is None:
            fate, begun = "survived: no test comes by it", time.time()
            tests = sorted(reached[number], key=took.get)
            spent = list(itertools.accumulate(map(took.get, tests)))
            for at, (program, test) in enumerate(tests):
                if at > 0 and spent[at] > args.most:
                    fate = f"survived: the {at} shortest of {len(tests)} tests"
                    break
                fate = f"survived: {len(tests)} tests"
                status, _ = run(program, test, environment, int(took[program, test]) + PATIENCE, tree, NIN_MUTANT=number)
                # A test that is not waited for without a mistake says nothing when it is not with one.
                if status != 0 and not (status == OUT_OF_TIME and (program, test) in long):
                    why = " runs for ever" if status == OUT_OF_TIME else ""
                    fate = f"killed: {test}{why}"
                    break
            row = [*name, fate, f"{time.time() - begun:.1f}"]
            writer.writerow(row)
            table.flush()
            judged += 1
        fate = row[4]
        counts["/".join(name[0].split("/")[:2])][fate.split(":")[0]] += 1
        counts["all"][fate.split(":")[0]] += 1
        left = (len(chosen) - done) * (time.time() - start) / max(judged, 1) / 60
        if fate.startswith("survived"):
            survivors.append(row)
            print(f"{name[0]}:{name[1]} {name[2]}: {name[3]}: {fate}", file=sys.stderr)
        if done % 20 == 0:
            total = counts["all"]
            print(f"[{done}/{len(chosen)}: {total['killed']} killed, {total['survived']} survived; {left:.0f} min left]", file=sys.stderr)
    print("Survivors:")
    for file, line, function, mistake, fate, _ in survivors:
        print(f"  {file}:{line} {function}: {mistake}: {fate}")
    for folder, count in counts.items():
        print(f"{folder:24} {count['killed']:6} killed {count['survived']:6} survived")
    print(f"{refused} do not compile")


if __name__ == "__main__":
    main()
