"""What the exporters of foreign test vectors share: the two files that `tests/vectors` reads.

SUITE.json describes the cases in the words of this library, SUITE.safetensors holds their tensors as CASE.TENSOR. A case is

    name, op         as the foreign suite calls it, and what it is counted under
    build            which function of tests/vectors makes its graph
    attributes       of the op
    gradients        tensors whose gradients are wanted, given `dy`
    want             tensors that must come out, `dNAME` being the gradient of NAME
    prepared         what was rewritten by the exporter, in words; null where nothing was

What is not exported is listed with its reason, as `out_of_scope` (another kind of thing) or `unsupported` (the same kind
of thing, which this library cannot do: counted as not passed).
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


class Skip(Exception):
    """Raised by an exporter's rule for a case that is out of scope."""


class Unsupported(Exception):
    """Raised for a case in scope that the library has no means for."""


class Suite:
    """The cases of one foreign suite."""

    def __init__(self, name, source, tolerance):
        self.about = {"suite": name, "source": source, **tolerance, "cases": [], "out_of_scope": [], "unsupported": []}
        self.tensors = {}

    def case(self, name, op, rule):
        """Adds what `rule()` yields: (build, attributes, inputs, wanted, gradients, prepared)."""
        try:
            build, attributes, inputs, wanted, gradients, prepared = rule()
        except (Skip, Unsupported) as why:
            which = "out_of_scope" if isinstance(why, Skip) else "unsupported"
            self.about[which].append({"name": name, "op": op, "reason": str(why)})
            return
        assert not inputs.keys() & wanted.keys(), "one name is one tensor"
        for key, array in {**inputs, **wanted}.items():
            array = np.asarray(array)
            if array.dtype == np.int64 and key != "labels":
                array = array.astype(np.uint32)
            # A scalar is a tensor of one element here.
            self.tensors[f"{name}.{key}"] = np.ascontiguousarray(np.atleast_1d(array))
        self.about["cases"].append({"name": name, "op": op, "build": build, "attributes": attributes, "want": list(wanted),
                                    "gradients": gradients, "prepared": "; ".join(prepared) or None})

    def write(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, folder / f"{self.about['suite']}.safetensors")
        (folder / f"{self.about['suite']}.json").write_text(json.dumps(self.about, indent=1))
        counts = {which: len(self.about[which]) for which in ("cases", "unsupported", "out_of_scope")}
        print(f"{self.about['suite']}: {counts}")


def same_padding(size, window, stride, dilation, lower):
    """The paddings before and behind that ONNX's auto_pad SAME_UPPER or SAME_LOWER stands for, along one axis."""
    extent = (window - 1) * dilation + 1
    whole = max((-(-size // stride) - 1) * stride + extent - size, 0)
    small, large = whole // 2, whole - whole // 2
    return (large, small) if lower else (small, large)
