"""What a compiled kernel issues, counted in its assembly: AMD's as RADV prints it, NVIDIA's as nvdisasm does.

A GEMM kernel walks its reduction in a loop that fills workgroup memory; a turn of that is a slab. Counted are the instructions that
each slab issues: those of loops within, such as that for a last slab that is not whole, only where the product is made in
one, and not what stands behind a branch taken once a tap.
"""
import re


class Dialect:
    """How to read one assembly."""

    def __init__(self, label, jump, line, **kinds):
        self.label, self.jump, self.line = re.compile(label), re.compile(jump), re.compile(line)
        self.kinds = {kind: re.compile(pattern) for kind, pattern in kinds.items()}


AMD_KINDS = dict(
    # A dual-issue pair is one line with `::` between its halves.
    fma=r"v_(pk_)?(fma|fmac|mac|mad)(mk|ak)?_f32|v_dual_fmac_f32", dual=r"v_dual_", vector=r"v_",
    shared_load=r"ds_(load|read)", shared_store=r"ds_(store|write)", load=r"(buffer|global|flat|scratch)_load",
    store=r"(buffer|global|flat|scratch)_store", barrier=r"s_barrier(?!_wait)",
    # vmcnt and the counter of loads of GFX12: what waits for a load of global memory.
    wait=r"s_waitcnt\b.*vmcnt|s_wait_loadcnt")
AMD = Dialect(label=r"^(BB\d+):", jump=r"s_c?branch\w*\s+(BB\d+)", line=r"^\s+([a-z]\w+.*?)\s*(?:;|$)", **AMD_KINDS)
# What Mesa prints where it has no disassembler, as for GFX12 without LLVM 19: `v1: %7:v[3] = v_add_u32 ...`.
ACO = Dialect(label=r"^(BB\d+)$", jump=r"s_c?branch\w*\s+block:(BB\d+)", line=r"^\t\s*(?:.*? = )?([a-z]\w+.*)$", **AMD_KINDS)
NVIDIA = Dialect(
    label=r"^\.(L_x_\d+):", jump=r"(?:@!?U?P\d+ )?BRA.*?`\(\.(L_x_\d+)\)", line=r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;",
    fma=r"FFMA", dual=r"$^", vector=r"", shared_load=r"LDS", shared_store=r"STS", load=r"LDG", store=r"STG", barrier=r"BAR",
    # Waits are bits of the instructions, which nvdisasm does not print.
    wait=r"$^")


def parse(dialect, text):
    """Instructions in order, and the index that each label stands before."""
    body, labels = [], {}
    for line in text.splitlines():
        if found := dialect.label.match(line):
            labels[found.group(1)] = len(body)
        elif found := dialect.line.match(line):
            body.append(found.group(1))
    return body, labels


class Listing:
    """The assembly of one kernel."""

    def __init__(self, dialect, text):
        self.dialect = dialect
        self.body, labels = parse(dialect, text)
        bare = [re.sub(r"^@!?U?P\d+\s+", "", line) for line in self.body]
        self.kinds = [{kind for kind, pattern in dialect.kinds.items() if pattern.match(line)} for line in bare]
        jumps = [(i, dialect.jump.match(line)) for i, line in enumerate(self.body)]
        jumps = [(i, labels[found.group(1)]) for i, found in jumps if found and found.group(1) in labels]
        self.loops = sorted({(to, i + 1) for i, to in jumps if to <= i})
        self.skips = sorted({(i + 1, to) for i, to in jumps if to > i})

    def count(self, kind, at):
        one = sum(kind in self.kinds[i] for i in at)
        # Both halves of a pair may be multiply-adds.
        both = sum(len(re.findall(r"v_dual_fmac", self.body[i])) == 2 for i in at) if kind == "fma" else 0
        return one + both

    def slab(self):
        """Indices of what one slab issues, each with how often; nothing if the kernel has no such loop."""
        # A workgroup of one wave needs no barrier, and keeps none.
        holds = lambda kind, loop, n: self.count(kind, range(*loop)) >= n
        around = [loop for loop in self.loops if holds("fma", loop, 16) and (holds("barrier", loop, 1) or holds("shared_store", loop, 1))]
        if not around:
            return None
        outer = min(around, key=lambda loop: loop[1] - loop[0])
        within = [loop for loop in self.loops if loop != outer and outer[0] <= loop[0] and loop[1] <= outer[1]]
        inner = {i for loop in within for i in range(*loop)}
        # Jumped over as a whole, and neither copies nor products: what is done once a tap.
        working = ("fma", "load", "shared_load", "shared_store", "barrier")
        seldom = {i for skip in self.skips if outer[0] <= skip[0] and skip[1] <= outer[1]
                  for i in range(*skip) if not any(self.count(kind, range(*skip)) for kind in working)}
        straight = [i for i in range(*outer) if i not in inner and i not in seldom]
        product = max(within, key=lambda loop: self.count("fma", range(*loop)), default=None)
        return straight, product

    def figures(self, slab_fma):
        """What a slab of so many multiply-adds issues, as a dictionary; without the loop, only what the whole kernel has."""
        everything = range(len(self.body))
        whole = {"pairs": self.count("dual", everything), "instructions": len(self.body)}
        found = self.slab()
        if found is None:
            return whole
        straight, product = found
        if (more := self.count("fma", straight) - slab_fma) > 0:
            # A last slab that is not whole is written out too: one of two branches.
            other = next((skip for skip in self.skips if self.count("fma", range(*skip)) == more), (0, 0))
            straight = [i for i in straight if i not in range(*other)]
        turns = 0.0
        if product and self.count("fma", straight) < slab_fma:
            # Written out as a whole, or in turns of a loop.
            turns = (slab_fma - self.count("fma", straight)) / self.count("fma", range(*product))
        inner = range(*product) if turns else []
        total = lambda kind: self.count(kind, straight) + turns * self.count(kind, inner)
        loop = inner if turns else self.between_barriers(straight)
        loads = [self.body[i].split()[0] for i in (inner if turns else straight) if "shared_load" in self.kinds[i]]
        widths = {name: loads.count(name) for name in dict.fromkeys(loads)}
        return whole | {
            "fma": round(total("fma")), "share": total("fma") / total("vector"),
            "product_share": self.count("fma", loop) / max(self.count("vector", loop), 1),
            "dual": total("dual"), "widths": widths, "loads": round(total("load")), "waiting": self.waiting(straight),
            "hidden": self.hidden(sorted([*straight, *inner]), set(inner), turns) / slab_fma}

    def between_barriers(self, straight):
        """The multiply-adds of a slab that is written out, from the first to the last."""
        at = [i for i in straight if "fma" in self.kinds[i]]
        return [i for i in straight if at[0] <= i <= at[-1]]

    def hidden(self, at, inner, turns):
        """Multiply-adds between the last copy that is asked for and the first wait for one: what hides its latency."""
        count, loaded = 0, False
        for i in at:
            if "load" in self.kinds[i]:
                count, loaded = 0, True
            elif "wait" in self.kinds[i] and loaded:
                break
            count += self.count("fma", [i]) * (turns if i in inner else 1)
        return count if loaded else 0

    def waiting(self, at):
        """Copies from global memory that are asked for only after one before has arrived."""
        count, loaded, waited = 0, False, False
        for i in at:
            if self.kinds[i] & {"barrier", "fma"}:
                loaded = waited = False  # the slab has arrived, or is waited for behind a product
            if "wait" in self.kinds[i]:
                waited = loaded
            if "load" in self.kinds[i]:
                count += waited
                loaded, waited = True, False
        return count
