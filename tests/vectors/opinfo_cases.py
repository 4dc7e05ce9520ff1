#!/usr/bin/env python3
"""Export PyTorch's OpInfo samples of the ops that this library has: `opinfo_cases.py FOLDER` writes opinfo.json, opinfo.safetensors.

Inputs are PyTorch's own samples in f32, results and gradients what it computes of them in f64. The gradients are those of a
random `dy`, the same in every run.
"""

import sys
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db

from vectors import Skip, Suite, same_padding


def pair(x):
    """PyTorch's number, list of one or list of two as two."""
    x = [x] if isinstance(x, int) else list(x)
    return [int(v) for v in (x * 2)[:2]]


def images(x, prepared):
    """`x` as images: a single one becomes a batch of one."""
    if x.ndim == 3:
        prepared.append("a single image as a batch of one")
        return x[None]
    return x


def columns(x, prepared):
    """`x [N,C]` or `[N,C,L]` as images of one pixel or one pixel wide, which normalisations do not mind."""
    if x.ndim < 4:
        prepared.append("rows or 1-D maps as images one pixel wide")
        return x.reshape(*x.shape, *[1] * (4 - x.ndim))
    return x


def refuse_empty(*tensors):
    if any(x is not None and x.numel() == 0 for x in tensors):
        raise Skip("an empty tensor")


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    prepared = []
    x = images(x, prepared)
    stride, dilation = pair(stride), pair(dilation)
    if padding == "same":
        axes = [same_padding(*of, lower=False) for of in zip(x.shape[2:], w.shape[2:], stride, dilation)]
        padding = [axes[0][0], axes[1][0], axes[0][1], axes[1][1]]
        prepared.append("padding 'same' as four paddings")
    else:
        padding = [0] * 4 if padding == "valid" else pair(padding) * 2
    given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def run(x, w, b=None):
        return {"y": F.conv2d(F.pad(x, (padding[1], padding[3], padding[0], padding[2])), w, b, stride, 0, dilation, groups)}

    return "conv2d", given, {"x": x, "w": w} | ({} if b is None else {"b": b}), run, "xwb", prepared


def linear(x, w, b=None):
    refuse_empty(x, w)
    prepared = []
    if w.ndim == 1:
        w = w[None]
        prepared.append("the weight of one output as a matrix")
    if x.ndim != 2:
        x = x.reshape(-1, x.shape[-1])
        prepared.append("one row or rows of rows as a matrix")

    def run(x, w, b=None):
        return {"y": F.linear(x, w, b)}

    return "linear", {}, {"x": x, "w": w} | ({} if b is None else {"b": b}), run, "xwb", prepared


def pooling(kernel_size, stride, padding, ceil_mode):
    window = pair(kernel_size)
    stride = window if stride is None or stride == () else pair(stride)
    return {"window": window, "stride": stride, "padding": pair(padding) * 2, "ceil_mode": ceil_mode}


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    prepared = []
    x = images(x, prepared)
    given = pooling(kernel_size, stride, padding, ceil_mode) | {"dilation": pair(dilation)}

    def run(x):
        y, argmax = F.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode, True)
        return {"y": y} | ({"argmax": argmax} if return_indices else {})

    return "max_pool2d", given, {"x": x}, run, "x", prepared


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    prepared = []
    x = images(x, prepared)
    given = pooling(kernel_size, stride, padding, ceil_mode) | {"dilation": [1, 1], "count_include_pad": count_include_pad,
                                                               "divisor": divisor_override}

    def run(x):
        return {"y": F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)}

    return "avg_pool2d", given, {"x": x}, run, "x", prepared


def batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    refuse_empty(x)
    prepared = []
    x = columns(x, prepared)
    channels = torch.ones(x.shape[1])
    if weight is None:
        weight, bias = channels, 0 * channels
        prepared.append("no scale and shift as 1 and 0")
    if mean is None:
        mean, var = 0 * channels, channels
        prepared.append("no running statistics as new ones")
    given = {"training": training, "momentum": momentum, "eps": eps}
    inputs = {"x": x, "weight": weight, "bias": bias, "running_mean": mean, "running_var": var}

    def run(x, weight, bias, running_mean, running_var):
        mean, var = running_mean.detach().clone(), running_var.detach().clone()
        y = F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)
        return {"y": y} | ({"moved_mean": mean, "moved_var": var} if training else {})

    return "batch_norm", given, inputs, run, ["x", "weight", "bias"], prepared


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    refuse_empty(x)
    prepared = []
    x = columns(x, prepared)
    given = {"size": size, "alpha": alpha, "beta": beta, "k": k}

    def run(x):
        return {"y": F.local_response_norm(x, size, alpha, beta, k)}

    return "local_response_norm", given, {"x": x}, run, "x", prepared


def cross_entropy(x, labels, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    if x.ndim != 2:
        raise Skip("a label for each pixel")
    given = {"reduction": reduction, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
    inputs = {"x": x, "labels": labels} | ({} if weight is None else {"weight": weight})
    if labels.is_floating_point():
        counted = x.shape[0]
    else:
        counted = (torch.ones(x.shape[1]) if weight is None else weight)[labels[labels != ignore_index]].sum().double()

    def run(x, labels, weight=None):
        return {"y": F.cross_entropy(x, labels, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing)}

    # The gradient that there is here is that of the mean: of a sum it is the part that the weights' sum makes of it.
    prepared = [] if reduction == "mean" else ["the gradient of a sum or of each row as that of the mean"]
    dy = 1 if reduction == "mean" else 1 / counted
    return "cross_entropy", given, inputs, run, "x", prepared, dy


RULES = {of.__name__: of for of in [conv2d, linear, max_pool2d, avg_pool2d, batch_norm, local_response_norm, cross_entropy]}


def case_of(sample, rule, kwargs):
    """What `Suite.case` takes, with results and gradients by PyTorch in f64."""
    build, given, inputs, run, gradients, prepared, *cotangent = rule(sample.input, *sample.args, **kwargs)
    wide = {key: x.detach().double() if x.is_floating_point() else x for key, x in inputs.items()}
    gradients = [key for key in gradients if key in wide]
    for key in gradients:
        wide[key].requires_grad_()
    results = run(**wide)
    y = results["y"]
    if cotangent:
        dy = torch.ones_like(y) * cotangent[0]
    else:
        dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).double()
    found = torch.autograd.grad(y, [wide[key] for key in gradients], dy) if gradients else []
    wanted = results | {f"d{key}": gradient for key, gradient in zip(gradients, found)}
    numbers = {key: x.detach().numpy() for key, x in inputs.items()} | {"dy": dy.float().numpy()}
    return build, given, numbers, {key: x.detach().numpy() for key, x in wanted.items()}, gradients, prepared


def main(folder):
    warnings.filterwarnings("ignore")
    suite = Suite("opinfo", f"PyTorch {torch.__version__.split('+')[0]}", {"relative": 1e-5, "absolute": 1e-7})
    for info in op_db:
        name = info.name.removeprefix("nn.functional.")
        # A variant has the same samples, for another implementation of PyTorch's.
        if not info.name.startswith("nn.functional.") or name not in RULES or info.variant_test_name:
            continue
        torch.manual_seed(0)
        np.random.seed(0)
        for i, sample in enumerate(info.sample_inputs("cpu", torch.float32, requires_grad=True)):
            suite.case(f"{name}.{i}", name, lambda: case_of(sample, RULES[name], sample.kwargs))
    suite.write(folder)


if __name__ == "__main__":
    main(sys.argv[1])
