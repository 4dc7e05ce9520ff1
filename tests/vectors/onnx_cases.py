#!/usr/bin/env python3
"""Export ONNX's backend tests of the ops that this library has: `onnx_cases.py FOLDER` writes onnx.json, onnx.safetensors.

They are all tests of one node: those that ONNX generates (`node`), and those that PyTorch once wrote for it
(`pytorch-converted`, `pytorch-operator`), as the package `onnx` brings them.
"""

import glob
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests, load_node_model_tests

from vectors import Skip, Suite, same_padding


def images(x):
    """Refuses what has no two spatial dimensions."""
    if x.ndim != 4:
        raise Skip(f"{x.ndim - 2}-D maps")


def pads_of(attributes, x, window, stride, dilation):
    """Top, left, bottom, right, and what was worked out for that."""
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        axes = [same_padding(*of, lower=auto == "SAME_LOWER") for of in zip(x.shape[2:], window, stride, dilation)]
        return [axes[0][0], axes[1][0], axes[0][1], axes[1][1]], ["auto_pad as four paddings"]
    return list(attributes.get("pads", [0] * 4)), []


def window_of(attributes, x, window):
    stride = list(attributes.get("strides", [1, 1]))
    dilation = list(attributes.get("dilations", [1, 1]))
    padding, prepared = pads_of(attributes, x, window, stride, dilation)
    return {"stride": stride, "dilation": dilation, "padding": padding}, prepared


def conv(attributes, _, tensors, wanted):
    x, w = tensors[:2]
    images(x)
    geometry, prepared = window_of(attributes, x, w.shape[2:])
    geometry["groups"] = attributes.get("group", 1)
    return "conv2d", geometry, dict(zip("xwb", tensors)), {"y": wanted[0]}, [], prepared


def pool(build):
    def rule(attributes, _, tensors, wanted):
        x = tensors[0]
        images(x)
        window = list(attributes["kernel_shape"])
        geometry, prepared = window_of(attributes, x, window)
        geometry |= {"window": window, "ceil_mode": bool(attributes.get("ceil_mode", 0))}
        want = {"y": wanted[0]}
        if build == "avg_pool2d":
            geometry["count_include_pad"] = bool(attributes.get("count_include_pad", 0))
        elif len(wanted) == 2:
            # ONNX counts through all maps, and in one mode down the columns.
            h, w = x.shape[2:]
            at = wanted[1] % (h * w)
            want["argmax"] = at % h * w + at // h if attributes.get("storage_order", 0) else at
            prepared.append("indices counted within each map, by rows")
        return build, geometry, {"x": x}, want, [], prepared

    return rule


def global_pool(build):
    def rule(_, __, tensors, wanted):
        images(tensors[0])
        return build, {}, {"x": tensors[0]}, {"y": wanted[0]}, [], []

    return rule


def gemm(attributes, _, tensors, wanted):
    a, b, *c = tensors
    prepared = []
    if attributes.get("transA", 0):
        a = a.T
        prepared.append("A transposed")
    if not attributes.get("transB", 0):
        b = b.T
        prepared.append("B transposed to [out,in]")
    alpha, beta = (np.float32(attributes.get(name, 1)) for name in ("alpha", "beta"))
    if alpha != 1:
        prepared.append("alpha multiplied into the weights")
    inputs = {"x": a, "w": alpha * b}
    if c:
        if beta != 1:
            prepared.append("beta multiplied into the bias")
        c = beta * c[0]
        if c.ndim == 2 and c.shape[0] > 1:
            inputs["addend"] = c
        else:
            if c.size == 1 and wanted[0].shape[1] > 1:
                prepared.append("one number as the bias of all outputs")
            inputs["b"] = np.broadcast_to(c.reshape(-1), (wanted[0].shape[1],))
    return "linear", {}, inputs, {"y": wanted[0]}, [], prepared


def batch_norm(attributes, _, tensors, wanted):
    x, weight, bias, mean, var = tensors
    images(x)
    prepared = []
    # ONNX's momentum is what is kept, PyTorch's what is taken over.
    momentum = 1 - attributes.get("momentum", 0.9)
    training = bool(attributes.get("training_mode", 0))
    want = {"y": wanted[0]}
    if training:
        # ONNX keeps the variance of the batch itself, PyTorch and we its estimate of the population's.
        count = x.size // x.shape[1]
        kept = (1 - momentum) * var
        want |= {"moved_mean": wanted[1], "moved_var": kept + (wanted[2] - kept) * count / (count - 1)}
        prepared.append("running variance as PyTorch counts it, n - 1")
    inputs = {"x": x, "weight": weight, "bias": bias, "running_mean": mean, "running_var": var}
    attributes = {"training": training, "momentum": momentum, "eps": attributes.get("epsilon", 1e-5)}
    return "batch_norm", attributes, inputs, want, [], prepared


def lrn(attributes, _, tensors, wanted):
    images(tensors[0])
    given = {"size": attributes["size"], "alpha": attributes.get("alpha", 1e-4), "beta": attributes.get("beta", 0.75),
             "k": attributes.get("bias", 1.0)}
    return "local_response_norm", given, {"x": tensors[0]}, {"y": wanted[0]}, [], []


def elementwise(kind):
    def rule(attributes, _, tensors, wanted):
        given = {"kind": kind}
        if kind == "gelu" and attributes.get("approximate", b"none") == b"tanh":
            given["kind"] = "gelu_tanh"
        if kind == "leaky_relu":
            given["negative_slope"] = attributes.get("alpha", 0.01)
        return "activation", given, {"x": tensors[0]}, {"y": wanted[0]}, [], []

    return rule


def add(_, __, tensors, wanted):
    a, b = tensors
    if a.shape != b.shape:
        raise Skip("broadcasting")
    return "add", {}, {"a": a, "b": b}, {"y": wanted[0]}, [], []


def concat(attributes, _, tensors, wanted):
    inputs = {f"x{i}": x for i, x in enumerate(tensors)}
    return "concat", {"axis": attributes["axis"] % tensors[0].ndim}, inputs, {"y": wanted[0]}, [], []


def flatten(_, __, tensors, wanted):
    return "reshape", {}, {"x": tensors[0]}, {"y": wanted[0]}, [], []


def softmax(log):
    def rule(attributes, opset, tensors, wanted):
        x = tensors[0]
        # Before opset 13 everything from the axis on was one.
        axis = attributes.get("axis", -1 if opset >= 13 else 1) % x.ndim
        if opset >= 13 and axis != x.ndim - 1:
            raise Skip("3-D, along another axis than the last")
        return "softmax", {"axis": axis, "log": log}, {"x": x}, {"y": wanted[0]}, [], []

    return rule


def cross_entropy(attributes, _, tensors, wanted):
    x, labels = tensors[:2]
    if x.ndim != 2:
        raise Skip("a label for each pixel")
    ignore = attributes.get("ignore_index")
    given = {"reduction": attributes.get("reduction", b"mean").decode(), "ignore_index": ignore}
    want = {"y": wanted[0]} | ({"log_prob": wanted[1]} if len(wanted) > 1 else {})
    inputs = {"x": x, "labels": labels} | ({"weight": tensors[2]} if len(tensors) > 2 else {})
    return "cross_entropy", given, inputs, want, [], []


RULES = {
    "Conv": conv, "MaxPool": pool("max_pool2d"), "AveragePool": pool("avg_pool2d"),
    "GlobalAveragePool": global_pool("global_avg_pool"), "GlobalMaxPool": global_pool("global_max_pool"),
    "Gemm": gemm, "BatchNormalization": batch_norm, "LRN": lrn, "Add": add, "Concat": concat, "Flatten": flatten,
    "Relu": elementwise("relu"), "LeakyRelu": elementwise("leaky_relu"), "Sigmoid": elementwise("sigmoid"),
    "Tanh": elementwise("tanh"), "Gelu": elementwise("gelu"), "HardSwish": elementwise("hard_swish"),
    "Mish": elementwise("mish"),
    "Softmax": softmax(log=False), "LogSoftmax": softmax(log=True), "SoftmaxCrossEntropyLoss": cross_entropy,
}  # fmt: skip


def stored(folder):
    """Inputs and outputs of a test that lies in files."""
    lists = []
    for what in ("input", "output"):
        count = len(glob.glob(f"{folder}/test_data_set_0/{what}_*.pb"))
        files = [Path(folder) / f"test_data_set_0/{what}_{i}.pb" for i in range(count)]
        lists.append([numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes())) for file in files])
    return lists


def tests():
    """Name, model, inputs and outputs of every test of a single node of these ops."""
    for test in load_node_model_tests():
        # The same tests once more, with each op taken apart into others.
        if "_expanded" not in test.name:
            yield test, test.model, test.data_sets[0]
    for kind in ("pytorch-converted", "pytorch-operator"):
        for test in sorted(load_model_tests(kind=kind), key=lambda test: test.name):
            yield test, onnx.load(f"{test.model_dir}/model.onnx"), stored(test.model_dir)


def main(folder):
    warnings.filterwarnings("ignore")
    suite = Suite("onnx", f"onnx {onnx.__version__}", {"rtol": 1e-3, "atol": 1e-7})
    for test, model, (given, outputs) in tests():
        (node, *more) = model.graph.node
        if more or node.domain not in ("", "ai.onnx") or node.op_type not in RULES:
            continue
        assert (test.rtol, test.atol) == (1e-3, 1e-7), "the suite states one tolerance"
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        opset = next(i.version for i in model.opset_import if i.domain in ("", "ai.onnx"))
        constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
        names = [i.name for i in model.graph.input if i.name not in constants]
        tensors = constants | dict(zip(names, given))

        def rule():
            inputs = [tensors[name] for name in node.input if name]
            if any(x.dtype != np.float32 for x in (inputs[0], outputs[0])):
                raise Skip("another type than f32")
            return RULES[node.op_type](attributes, opset, inputs, outputs)

        suite.case(test.name, node.op_type, rule)
    suite.write(folder)


if __name__ == "__main__":
    main(sys.argv[1])
